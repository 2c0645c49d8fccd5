"""From logits to probabilities and thresholds, on held-apart windows."""

import numpy as np
from numpy.typing import NDArray

from models.metrics import threshold_at

# False-positive rates over held-apart windows of real faces at which each state begins and ends.
RATES = {"suspicious_on": 0.05, "suspicious_off": 0.10, "alert_on": 0.01, "alert_off": 0.03}
FEW = 5  # where a rate would leave fewer windows than this above it, it is read from the tail's fit
TAIL = 0.2  # share of the windows that the tail is fitted on
GAP = 0.05  # at least, between `on` and `off`: hysteresis needs some room


def fit_platt(
    logits: NDArray[np.float64], labels: NDArray[np.float64], rounds: int = 100
) -> tuple[float, float]:
    """(temperature, bias) of sigmoid(logit / temperature + bias), by Newton's method on the log-loss.

    Platt 1999; the targets are smoothed as there, so that separable data give a finite fit, and both classes
    weigh the same: the probability is for even odds.
    """
    positives, negatives = max(labels.sum(), 1), max((1 - labels).sum(), 1)
    target = np.where(labels > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    weight = np.where(labels > 0, 0.5 / positives, 0.5 / negatives)
    middle, spread = float(logits.mean()), max(float(logits.std()), 1e-9)
    x = np.stack([(logits - middle) / spread, np.ones_like(logits)], 1)  # Newton's steps know no other unit
    theta = np.array([1.0, 0.0])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        gradient = x.T @ (weight * (p - target)) + 1e-4 * theta
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + 1e-4 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        theta = theta - step / max(1.0, float(np.linalg.norm(step)))
        if np.abs(step).max() < 1e-9:
            break
    if theta[0] <= 0:
        raise ValueError("the logits do not rise with the label: nothing to calibrate")
    return float(spread / theta[0]), float(theta[1] - theta[0] * middle / spread)


def probability(logits: NDArray, temperature: float, bias: float) -> NDArray[np.float64]:
    """The calibrated probability that a face is fake."""
    return 1 / (1 + np.exp(-(np.asarray(logits, np.float64) / temperature + bias)))


def tail_at(logits: NDArray[np.float64], rate: float) -> float:
    """The logit that a share of `rate` exceeds, however few the windows: an exponential above the top TAIL.

    Peaks over a threshold (Pickands, Annals of Statistics 3, 1975) with the exponential as their law, as for
    all tails that fall like a normal's or a logistic's.
    """
    begin = threshold_at(logits, TAIL)
    over = logits[logits > begin] - begin
    return begin + float(over.mean()) * float(np.log(TAIL / rate)) if len(over) else begin


def thresholds(real: NDArray[np.float64]) -> dict[str, float]:
    """The card's pairs from the calibrated scores of held-apart real windows, at the RATES above."""
    inside = np.clip(np.asarray(real, np.float64), 1e-9, 1 - 1e-9)
    logits = np.log(inside / (1 - inside))
    found = {}
    for name, rate in RATES.items():
        few = rate * len(logits) < FEW
        found[name] = float(1 / (1 + np.exp(-(tail_at(logits, rate) if few else threshold_at(logits, rate)))))
    for kind in ("suspicious", "alert"):
        on = min(max(found[f"{kind}_on"], 0.5), 0.999)  # below even odds nothing is suspicious
        found[f"{kind}_on"] = on
        found[f"{kind}_off"] = max(min(found[f"{kind}_off"], on - GAP), 0.0)
    found["alert_on"] = max(found["alert_on"], found["suspicious_on"])
    found["alert_off"] = max(found["alert_off"], found["suspicious_off"])
    return {name: float(np.ceil(value * 1e4) / 1e4) for name, value in found.items()}
