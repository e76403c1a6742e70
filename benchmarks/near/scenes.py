"""Scenes that `near_duplicates.py` copies and attacks: pictures by time, from a seed.

Most are camera moves of their own; some are what unrelated clips of the web have in common:
black before or after them, fades, title cards, the same intro, slides of one layout.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Scene = Callable[[float], Image]
"""The picture at a time in seconds."""

WIDTH, HEIGHT, FPS, SECONDS = 320, 180, 25, 6.0


def ground(seed: int) -> Image:
    """A large picture of blobs, streaks and blocks to look at a part of."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((HEIGHT * 3, WIDTH * 3, 3), np.float32)
    for size in (4, 9, 20, 60):
        cells = rng.uniform(0, 255, (size, size * 2, 3)).astype(np.float32)
        weight = rng.uniform(0.2, 1)
        picture += weight * cv2.resize(cells, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(5, 25)):
        corner = tuple(int(v) for v in rng.integers(0, [WIDTH * 3, HEIGHT * 3]))
        size = tuple(int(v) for v in rng.integers(20, 160, 2))
        end = corner[0] + size[0], corner[1] + size[1]
        cv2.rectangle(picture, corner, end, rng.uniform(0, 500, 3).tolist(), -1)
    return cv2.normalize(picture, None, 5, 250, cv2.NORM_MINMAX).astype(np.uint8)


def scene(seed: int, sibling: bool) -> Scene:
    """The picture at a time: a camera move over a ground, and shapes in front of it."""
    rng = np.random.default_rng(seed)
    picture = ground(seed)
    start = rng.uniform(0, [WIDTH, HEIGHT])
    speed = rng.uniform(-1, 1, 2) * rng.choice([0, 10, 40])
    shapes = [
        (
            rng.uniform(0, [WIDTH, HEIGHT]),
            rng.uniform(-60, 60, 2),
            rng.uniform(8, 40),
            rng.uniform(0, 255, 3),
        )
        for _ in range(rng.integers(1, 5))
    ]
    if sibling:
        speed = np.where(np.abs(speed) < 20, 25.0, speed)
    first = SECONDS if sibling else 0.0

    def at(time_s: float) -> Image:
        time_s += first
        corner = np.clip(start + WIDTH / 2 + speed * time_s, 0, [WIDTH * 2, HEIGHT * 2]).astype(int)
        x, y = (int(v) for v in corner)
        image = picture[y : y + HEIGHT, x : x + WIDTH].copy()
        for place, velocity, radius, color in shapes:
            centre = (place + velocity * time_s) % [WIDTH, HEIGHT]
            cv2.circle(image, tuple(int(v) for v in centre), int(radius), color.tolist(), -1)
        return image

    return at


def black(at: Scene, seed: int) -> Scene:
    """A quarter, half or three quarters of the clip is black, before or after the scene."""
    share = (0.25, 0.5, 0.75)[seed % 3]
    shown = SECONDS * (1 - share)
    begin = 0.0 if seed % 2 else SECONDS - shown

    def shows(time_s: float) -> Image:
        image = at(time_s)
        return image if begin <= time_s < begin + shown else np.zeros_like(image)

    return shows


def faded(at: Scene, seed: int) -> Scene:
    """Faded in from black and out to it, two seconds each."""

    def shows(time_s: float) -> Image:
        light = np.clip(min(time_s, SECONDS - time_s) / 2, 0, 1)
        return cv2.convertScaleAbs(at(time_s), alpha=float(light))

    return shows


def words(seed: int, count: int) -> list[str]:
    """Words that nobody knows."""
    rng = np.random.default_rng(seed)
    letters = list("abcdefghijklmnoprstuvwyz")
    return ["".join(rng.choice(letters, rng.integers(3, 9))) for _ in range(count)]


def titled(at: Scene, seed: int) -> Scene:
    """Half of it is a card with a title in the middle, white on black."""
    card = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for i, word in enumerate(words(seed, 2)):
        (wide, _), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_DUPLEX, 1.2, 2)
        place = ((WIDTH - wide) // 2, HEIGHT // 2 - 8 + 40 * i)
        cv2.putText(card, word, place, cv2.FONT_HERSHEY_DUPLEX, 1.2, (255, 255, 255), 2)
    return lambda time_s: card if time_s < SECONDS / 2 else at(time_s)


def introduced(at: Scene, seed: int) -> Scene:
    """The same moving intro for a third or a half of it."""
    intro, length = scene(10_000, sibling=False), SECONDS / (2 if seed % 2 else 3)
    return lambda time_s: intro(time_s) if time_s < length else at(time_s)


def slide(at: Scene, seed: int) -> Scene:
    """A title and five lines, in one place in all slides."""
    page = np.full((HEIGHT, WIDTH, 3), 245, np.uint8)
    for i, text in enumerate([" ".join(words(seed * 10 + i, 3)) for i in range(6)]):
        size, place = (0.9, (16, 34)) if i == 0 else (0.45, (24, 44 + 22 * i))
        cv2.putText(page, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (30, 30, 30), 1 + (i == 0))
    return lambda time_s: page


@dataclasses.dataclass(frozen=True, slots=True)
class Original:
    """A scene that nothing else is a copy of; `make` draws its ground, which takes 40 ms."""

    kind: str
    make: Callable[[], Scene]


def originals(plain: int, others: int) -> Iterator[Original]:
    """The originals: plain scenes, a tenth of them siblings, and others of each further kind."""
    for i in range(plain):
        sibling = i % 10 == 9
        yield Original("plain", functools.partial(scene, i - 1 if sibling else i, sibling))
    for number, make in enumerate((black, faded, titled, introduced, slide)):
        for i in range(others):
            seed = 20_000 + 1000 * number + i
            yield Original(make.__name__, functools.partial(_altered, make, seed))


def _altered(make: Callable[[Scene, int], Scene], seed: int) -> Scene:
    return make(scene(seed, sibling=False), seed)


def subtitled(image: Image) -> Image:
    """Two lines of white text at the lower edge."""
    image = image.copy()
    for i, words in enumerate(("these are words that", "somebody said to others")):
        place = (40, HEIGHT - 30 + 18 * i)
        cv2.putText(image, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)
    return image


def letterboxed(image: Image) -> Image:
    """Black borders above and below."""
    return cv2.copyMakeBorder(image, 30, 30, 0, 0, cv2.BORDER_CONSTANT)


def cropped(image: Image) -> Image:
    """5 % of width and height cut off, half on each side."""
    y, x = round(HEIGHT * 0.025), round(WIDTH * 0.025)
    return np.ascontiguousarray(image[y : HEIGHT - y, x : WIDTH - x])


def brighter(image: Image) -> Image:
    """Brighter, with more contrast."""
    return cv2.convertScaleAbs(image, alpha=1.1, beta=20)


def same(image: Image) -> Image:
    """As it is."""
    return image


ATTACKS: dict[str, tuple[Callable[[Image], Image], float, int, str, float]] = {
    # picture, shift of the start in seconds, frames a second, crf, scale
    "re-encode crf 35": (same, 0.0, FPS, "35", 1),
    "half size": (same, 0.0, FPS, "23", 0.5),
    "5 % crop": (cropped, 0.0, FPS, "23", 1),
    "letterbox": (letterboxed, 0.0, FPS, "23", 1),
    "start +0.5 s": (same, 0.5, FPS, "23", 1),
    "start -0.5 s": (same, -0.5, FPS, "23", 1),
    "15 fps": (same, 0.0, 15, "23", 1),
    "brightness": (brighter, 0.0, FPS, "23", 1),
    "subtitles": (subtitled, 0.0, FPS, "23", 1),
}
