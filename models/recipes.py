"""The recipes: what each network of the family is given, how it starts and how fast it learns."""

from dataclasses import dataclass, replace

from models.crop import IMAGENET_MEAN, IMAGENET_STD, CropSpec

Triple = tuple[float, float, float]

MARGIN = 1.3  # of every crop: the live detector's box and 15 % more on each side
HEAD_RATES = {"gated": 2e-3, "lstm": 5e-4, "mean": 2e-3}  # AdamW's highest; wide cells take small steps
HEADS = tuple(HEAD_RATES)  # temporal heads that models.train trains
HALF: Triple = (0.5, 0.5, 0.5)
FACENET_STD: Triple = (128 / 255, 128 / 255, 128 / 255)  # (v - 127.5) / 128, as facenet-pytorch scales

KERAS_MEAN: Triple = (123.68 / 255, 116.779 / 255, 103.939 / 255)  # of its ResNet-50, RGB


@dataclass(frozen=True, slots=True)
class Row:
    """What a network of the family is used with, unless the command line says otherwise."""

    size: int  # px, the side of its crops
    features: int  # D, the width of an encoded crop
    head: str  # one of HEADS
    rate: float  # AdamW's highest learning rate
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD


ROWS = {
    "densenet121": Row(160, 1024, "lstm", 1e-3),
    "efficientnet_lite0": Row(192, 128, "gated", 6e-4),
    "inception_resnet_v1": Row(160, 512, "lstm", 3e-4, HALF, FACENET_STD),
    "inception_resnet_v2": Row(150, 1536, "lstm", 1e-3, HALF, HALF),
    "meso4": Row(256, 16, "mean", 1e-3, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "mesoinception4": Row(256, 16, "mean", 1e-3, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "plain_cnn": Row(128, 128, "mean", 1e-3),
    "resnet50": Row(224, 2048, "lstm", 3e-4, KERAS_MEAN),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every number that decides a run, the machine's none. Same seed, same batches, whatever network."""

    network: str
    head: str
    size: int  # px
    features: int
    rate: float
    steps: int | None = None  # of the encoder; or
    core_minutes: float | None = None  # of CPU time: making, learning and encoding together
    pairs: int = 16  # a batch has twice as many crops
    warmup: float = 0.04  # share of the encoder's budget in which the rate rises
    decay: float = 0.02  # AdamW's weight decay
    smoothing: float = 0.05  # of the labels
    average: float = 0.998  # of the weights over steps (EMA); the average is what is exported
    families: tuple[str, ...] | None = None  # of made fakes; None: all that the data's mix has
    stills: int = 300  # moving stills for the head, each real and fake
    seed: int = 1

    @property
    def spec(self) -> CropSpec:
        """How its crops are cut and normalised."""
        row = ROWS[self.network]
        return CropSpec(self.size, MARGIN, row.mean, row.std)


def recipe_for(network: str, steps: int | None = None, core_minutes: float | None = None) -> Recipe:
    """A network's row as a recipe. Raises ValueError for an unknown name, or not just one of both budgets."""
    if network not in ROWS:
        raise ValueError(f"no network is called {network!r}; there are {', '.join(sorted(ROWS))}")
    if (steps is None) == (core_minutes is None) or (steps or core_minutes or 0) <= 0:
        raise ValueError("a run needs either steps or core-minutes, more than none")
    row = ROWS[network]
    recipe = Recipe(network, row.head, row.size, row.features, row.rate)
    return replace(recipe, steps=steps, core_minutes=core_minutes)
