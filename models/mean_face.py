"""The mean shape of a face, for data that comes without 68 points of its own."""

import numpy as np

from models.landmarks import Points

# The mean over the 68 points of 2,734 stills of LFW and UTKFace (one in three of those that training reads),
# each laid onto the others by its five points, then made symmetric and rounded: nobody's face. In units of
# which 100 are between the eyes' centres, from the point halfway between them. With MTCNN's five it estimates
# the other points to 0.093 of that distance, as the unrounded mean does.
_HUNDREDTHS = """
-114 3 -113 33 -110 63 -104 92 -94 120 -76 144 -54 164 -29 179 0 183 29 179 54 164 76 144 94 120 104 92 110 63
113 33 114 3 -92 -20 -78 -33 -59 -37 -38 -35 -19 -27 19 -27 38 -35 59 -37 78 -33 92 -20 0 -3 0 16 0 35 0 54
-23 68 -12 72 0 75 12 72 23 68 -69 0 -57 -7 -43 -7 -30 3 -43 5 -58 5 30 3 43 -7 57 -7 69 0 58 5 43 5 -45 104
-29 97 -12 94 0 96 12 94 29 97 45 104 30 121 13 128 0 129 -13 128 -30 121 -39 105 -12 103 0 105 12 103 39 105
13 113 0 115 -13 113
"""


def mean_face() -> Points:
    """The mean shape (68, 2), iBUG order, upright."""
    return np.array(_HUNDREDTHS.split(), np.float32).reshape(68, 2)
