"""High dynamic range and wide gamut to BT.709, as filters that every FFmpeg has.

`zscale` is not in PyAV's libraries and `scale` maps tones from FFmpeg 7.1 on only, ten times as
slowly; so the curve is written out for `lutrgb`, the same when decoding and when rendering.

A PQ signal (SMPTE ST 2084) means light; an HLG signal (BT.2100) is taken for what a display of
1,000 cd/m2 makes of it. Light of up to `PEAK` is brought into 0 to `WHITE`, the reference white of
BT.2408, by the EETF of BT.2390-11 in each of R, G and B: light up to about 85 cd/m2 stays as it is,
white comes to 0.90 of the signal, what is brighter than `PEAK` is white. Then colours go from
BT.2020 to BT.709 by BT.2087, those outside at its edge, and light becomes a signal by the inverse
of BT.1886 (gamma 2.4). HLG's gamma of 1.2 is applied to each of R, G and B, too, instead of to
luminance: exact for grey, a little more saturated elsewhere.
"""

from __future__ import annotations

PEAK = 1000.0
"""cd/m2 that most material is mastered for."""

WHITE = 203.0
"""cd/m2 of diffuse white in HDR (BT.2408); SDR's white."""

HDR = {"smpte2084", "arib-std-b67"}
"""PQ and HLG, as FFmpeg names them."""

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073

_TO_709 = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))
"""From linear BT.2020 to linear BT.709 (BT.2087)."""

Node = tuple[str, dict[str, str]]


def is_wide(transfer: str | None, primaries: str | None) -> bool:
    """Whether pictures with these labels hold more than BT.709 can show."""
    return transfer in HDR or primaries == "bt2020"


def to_bt709(transfer: str | None, space: str | None, color_range: str | None) -> list[Node]:
    """Filters from pictures of BT.2020 to limited-range BT.709 in `yuv420p10le`.

    Args:
        transfer: `smpte2084`, `arib-std-b67`, or another, for pictures of standard range.
        space: Their matrix, None for BT.2020's.
        color_range: `pc` for full range.
    """
    matrix = space if space in {"bt709", "bt470bg", "smpte170m"} else "bt2020"
    mixed = {
        into + of: str(_TO_709[i][k]) for i, into in enumerate("rgb") for k, of in enumerate("rgb")
    }
    into_709 = {"color_primaries": "bt709", "color_trc": "bt709"}
    return [
        ("scale", {"in_color_matrix": matrix, "in_range": color_range or "tv", "out_range": "pc"}),
        ("format", {"pix_fmts": "gbrp16le"}),
        ("lutrgb", dict.fromkeys("rgb", _light(transfer))),
        ("colorchannelmixer", mixed),
        ("lutrgb", dict.fromkeys("rgb", "maxval*pow(val/maxval,1/2.4)")),
        ("setparams", into_709),
        ("scale", {"out_color_matrix": "bt709", "in_range": "pc", "out_range": "tv"}),
        ("format", {"pix_fmts": "yuv420p10le"}),
        ("setparams", into_709 | {"colorspace": "bt709", "range": "tv"}),
    ]


def _light(transfer: str | None) -> str:
    """The expression from a signal to linear light, `WHITE` and brighter being the largest value.

    Registers of FFmpeg's expressions: 0 the signal, 1 its place in PQ up to the peak, 2 its place
    in the curve's shoulder, 3 the power that PQ's formula uses twice.
    """
    if transfer not in HDR:
        return "maxval*pow(val/maxval,2.4)"
    peak, white = _signal(PEAK), _signal(WHITE)
    top = white / peak
    knee = 1.5 * top - 0.5
    steps = ["st(0,val/maxval)"]
    if transfer == "arib-std-b67":
        scene = f"if(lte(ld(0),0.5),ld(0)*ld(0)/3,(exp((ld(0)-{_HLG_C})/{_HLG_A})+{_HLG_B})/12)"
        steps.append(f"st(3,pow({PEAK / 10_000}*pow({scene},1.2),{_M1}))")
        steps.append(f"st(0,pow(({_C1}+{_C2}*ld(3))/(1+{_C3}*ld(3)),{_M2}))")
    steps.append(f"st(1,min(1,ld(0)/{peak}))")
    steps.append(f"st(2,max(0,(ld(1)-{knee})/{1 - knee}))")
    shoulder = (
        f"(2*pow(ld(2),3)-3*pow(ld(2),2)+1)*{knee}"
        f"+(pow(ld(2),3)-2*pow(ld(2),2)+ld(2))*{1 - knee}"
        f"+(3*pow(ld(2),2)-2*pow(ld(2),3))*{top}"
    )
    steps.append(f"st(3,pow({peak}*if(lt(ld(1),{knee}),ld(1),{shoulder}),{1 / _M2}))")
    light = f"pow(max(0,ld(3)-{_C1})/({_C2}-{_C3}*ld(3)),{1 / _M1})"
    return ";".join([*steps, f"maxval*min(1,{light}*{10_000 / WHITE})"])


def _signal(nits: float) -> float:
    """The PQ signal, 0 to 1, for light in cd/m2."""
    power = (nits / 10_000) ** _M1
    return float(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)
