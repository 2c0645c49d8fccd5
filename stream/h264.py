"""What the headers of an H.264 stream tell before it is decoded: missing pictures, and those nobody leans on.

A server that is too slow for its reader drops whole pictures; the next ones then build on the wrong one, and
the decoder hides it without a word. The slice header's frame_num counts reference pictures, so a leap in it
tells (ITU-T H.264, 7.4.3). One whose nal_ref_idc is 0 is no reference (7.4.1): the others can do without it.
"""

_VCL, _IDR, _SPS = 1, 5, 7  # nal_unit_type, table 7-1
_HIGH = (
    44,
    83,
    86,
    100,
    110,
    118,
    122,
    128,
    134,
    135,
    138,
    139,
    244,
)  # profiles with a chroma format, 7.3.2.1.1
_HEAD = 512  # bytes that are looked at: parameter sets and slice headers are shorter


class _Bits:
    """Reads the numbers of 7.2 and 9.1 from a NAL unit."""

    def __init__(self, unit: bytes) -> None:
        data = unit[1:_HEAD].replace(b"\0\0\3", b"\0\0")  # emulation prevention, 7.4.1
        self._value, self._left = int.from_bytes(data), len(data) * 8

    def u(self, count: int) -> int:
        """An unsigned number of `count` bits. Raises ValueError past the end."""
        if count > self._left:
            raise ValueError("the NAL unit is too short")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """An unsigned Exp-Golomb number."""
        zeros = 0
        while not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed Exp-Golomb number."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


class FrameNumbers:
    """Follows frame_num through one stream. Pure."""

    def __init__(self, extradata: bytes | None) -> None:
        """extradata: the decoder's, with the parameter sets: avcC (ISO/IEC 14496-15) or Annex B."""
        extradata = extradata or b""
        # bytes of a NAL unit's length; 0 = start codes
        self._prefix = (extradata[4] & 3) + 1 if len(extradata) > 6 and extradata[0] == 1 else 0
        self._bits = 0  # length of frame_num; 0 = unknown, or gaps are allowed: nothing can be told
        self._planes = False  # separate colour planes put a number before frame_num
        self._last: int | None = None  # frame_num of the last reference picture
        self._whole = False  # no picture is coded as two fields, which could differ in what leans on them
        self.disposable = False  # whether no other picture leans on that of the last packet
        parameters = extradata[8 : 8 + int.from_bytes(extradata[6:8])] if self._prefix else b""
        for unit in [parameters] if parameters else _start_coded(extradata):
            self._parameter_set(unit)

    def leaps(self, packet: bytes) -> bool:
        """Whether reference pictures are missing before this packet (one picture)."""
        self.disposable = False
        for unit in _sized(packet, self._prefix) if self._prefix else _start_coded(packet):
            kind = unit[0] & 31
            if kind == _SPS:
                self._parameter_set(unit)
            elif kind in (_VCL, _IDR):
                self.disposable = self._whole and not unit[0] >> 5 & 3  # nal_ref_idc
                return self._slice(unit)
        return False

    def _slice(self, unit: bytes) -> bool:
        if not self._bits:
            return False
        if unit[0] & 31 == _IDR:
            self._last = 0
            return False
        bits = _Bits(unit)
        try:
            for _ in ("first_mb_in_slice", "slice_type", "pic_parameter_set_id"):
                bits.ue()
            bits.u(2 if self._planes else 0)
            number = bits.u(self._bits)
        except ValueError:
            return True
        last = self._last
        if unit[0] >> 5 & 3:  # nal_ref_idc: others may refer to this picture
            self._last = number
        return last is not None and (number - last) % (1 << self._bits) > 1

    def _parameter_set(self, unit: bytes) -> None:
        if not unit or unit[0] & 31 != _SPS:
            return
        try:
            self._read(_Bits(unit))
        except ValueError:
            self._bits, self._whole = 0, False

    def _read(self, bits: _Bits) -> None:
        """seq_parameter_set_data, 7.3.2.1.1, as far as frame_mbs_only_flag."""
        profile = bits.u(8)
        bits.u(16)
        bits.ue()
        self._planes = False
        if profile in _HIGH:
            chroma = bits.ue()
            self._planes = bool(bits.u(1)) if chroma == 3 else False
            bits.ue(), bits.ue(), bits.u(1)
            if bits.u(1):
                for i in range(12 if chroma == 3 else 8):
                    if bits.u(1):
                        _skip_scaling_list(bits, 16 if i < 6 else 64)
        length = bits.ue() + 4
        order = bits.ue()
        if order == 0:
            bits.ue()
        elif order == 1:
            bits.u(1), bits.se(), bits.se()
            for _ in range(bits.ue()):
                bits.se()
        bits.ue()
        gaps = bits.u(1)
        bits.ue(), bits.ue()  # width and height
        self._bits, self._whole = 0 if gaps else length, bool(bits.u(1))


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    """7.3.2.1.1.1."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _sized(data: bytes, prefix: int) -> list[bytes]:
    """The first bytes of each NAL unit behind a length."""
    units, at = [], 0
    while at + prefix < len(data):
        size = int.from_bytes(data[at : at + prefix])
        units.append(data[at + prefix : at + prefix + min(size, _HEAD)])
        at += prefix + size
    return [unit for unit in units if unit]


def _start_coded(data: bytes) -> list[bytes]:
    """The first bytes of each NAL unit behind a start code (Annex B)."""
    units, at = [], data.find(b"\0\0\1")
    while at >= 0:
        units.append(data[at + 3 : at + 3 + _HEAD])
        at = data.find(b"\0\0\1", at + 3)
    return [unit for unit in units if unit]
