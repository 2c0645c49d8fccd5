"""`python -m tests.check`: linter, formatter, types, tests with coverage. Stops at the first that fails."""

import subprocess
import sys

STEPS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("pytest", "-q", "--cov", "--cov-report=term:skip-covered", "--cov-fail-under=85", "tests"),
)


def main() -> int:
    for step in STEPS:
        print("$", *step, flush=True)
        code = subprocess.run([sys.executable, "-m", *step], check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
