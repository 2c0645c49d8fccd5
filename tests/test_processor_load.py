"""The processor's share: this process and its children, by the system's own books."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from stream.processor_load import ProcessorLoad, children, spent

BUSY = "import sys, time\nprint('go', flush=True)\nwhile True: pass"


def test_an_idle_process_uses_little_and_a_busy_one_its_core():
    load = ProcessorLoad()
    time.sleep(0.2)
    assert load.share() < 0.5
    begin, until = time.process_time(), time.monotonic() + 0.2
    while time.monotonic() < until:
        pass
    used, cores = time.process_time() - begin, len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    assert load.share() >= 0.5 * used / 0.3 / cores


@pytest.mark.skipif(sys.platform != "linux", reason="children are counted on Linux only")
def test_children_count():
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout
            child.stdout.readline()
            assert child.pid in children()
            before, own = spent(), time.process_time()
            used = psutil.Process(child.pid).cpu_times().user
            time.sleep(0.5)
            used = psutil.Process(child.pid).cpu_times().user - used
            assert spent() - before - (time.process_time() - own) >= used - 0.05
            load = ProcessorLoad()
        finally:
            child.kill()
    assert child.pid not in children()
    assert load.share() == 0.0  # what the child had used has gone with it; a share is never negative
