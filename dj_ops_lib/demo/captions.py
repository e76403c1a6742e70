"""Sentences that say truthfully what a shot shows."""

from __future__ import annotations

from collections.abc import Sequence

from dj_ops_lib.demo.world import Shot

_CHINESE = {
    "red": "红色",
    "green": "绿色",
    "blue": "蓝色",
    "yellow": "黄色",
    "orange": "橙色",
    "purple": "紫色",
    "white": "白色",
    "black": "黑色",
    "grey": "灰色",
    "pink": "粉色",
    "circle": "圆形",
    "square": "正方形",
    "triangle": "三角形",
    "from left to right": "从左向右移动",
    "from right to left": "从右向左移动",
    "from top to bottom": "从上向下移动",
    "from bottom to top": "从下向上移动",
    "back and forth": "左右来回移动",
    "around in a circle": "沿着圆圈移动",
    "closer": "越来越近",
    "not at all": "一动不动",
}

_OPENINGS = ("{}", "in this video {}", "the clip shows how {}", "we see that {}", "here {}")


def clause(shot: Shot, wording: int = 0) -> str:
    """What happens in a shot, without capital letter and full stop, in one of four wordings."""
    if shot.shape is None:
        return _without_shape(shot, wording)
    if shot.motion == "not at all":
        verbs = ("stands still", "does not move", "rests", "stays where it is")
    elif shot.motion == "closer":
        verbs = ("comes closer", "grows larger", "gets bigger and bigger", "approaches")
    else:
        words = ("moves", "is moving", "travels", "slides")
        verbs = tuple(f"{word} {shot.motion}" for word in words)  # type: ignore[assignment]
    article = "an" if shot.colour[0] in "aeiou" else "a"
    background = f"{'an' if shot.background[0] in 'aeiou' else 'a'} {shot.background} background"
    return (
        f"{article} {shot.colour} {shot.shape} {verbs[0]} over {background}",
        f"over {background} {article} {shot.colour} {shot.shape} {verbs[1]}",
        f"{article} {shot.shape} in {shot.colour} {verbs[2]} in front of {background}",
        f"a simple {shot.shape}, {shot.colour}, {verbs[3]} over {background}",
    )[wording]


def _without_shape(shot: Shot, wording: int) -> str:
    if shot.pan:
        pace = "fast" if shot.pan >= 60 else "slowly"
        place = f"a mottled {shot.background} ground"
        return (
            f"the camera flies {pace} over {place}",
            f"{place} rushes by" if shot.pan >= 60 else f"{place} passes by slowly",
            f"the view moves {pace} to the right over {place}",
            f"{place} seen from a camera that moves {pace}",
        )[wording]
    return (
        f"the screen stays {shot.background}",
        f"nothing but a {shot.background} screen is shown",
        f"a {shot.background} screen without any change fills the picture",
        f"there is only {shot.background} to be seen",
    )[wording]


def sentence(shots: Sequence[Shot], variant: int = 0) -> str:
    """One sentence about the shots in order; twenty variants differ for every content."""
    clauses = [clause(shot, variant % 4) for shot in shots]
    text = ", then ".join(clauses) if len(clauses) < 3 else ", ".join(clauses[:-1])
    if len(clauses) > 2:
        text += f" and finally {clauses[-1]}"
    return _OPENINGS[variant // 4 % len(_OPENINGS)].format(text)


def caption(shots: Sequence[Shot]) -> str:
    """A caption as a captioning model writes it: a sentence with capital letter and full stop."""
    text = sentence(shots)
    return f"{text[0].upper()}{text[1:]}."


def chinese(shot: Shot) -> str:
    """The same in Chinese, for a shot with a shape."""
    colour, background = _CHINESE[shot.colour], _CHINESE[shot.background]
    what, how = _CHINESE[shot.shape or "circle"], _CHINESE[shot.motion]
    return f"一个{colour}的{what}在{background}背景上{how}。"
