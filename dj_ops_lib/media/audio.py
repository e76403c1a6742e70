"""Sound of a clip for observers: resampled, mixed, cut to the window to the sample.

Sample 0 is the clip's start, whatever comes first in the file: sound that begins
later is preceded by silence, holes in it are filled with silence, and overlaps are
dropped, so that a sample's position is its time. Sound that ends before the clip does
is not filled up. A clip without sound gets none. Samples that are no numbers are an
error of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Self

import av.error
import numpy as np
import numpy.typing as npt

from dj_ops_lib.clip import Edit
from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.container import Clock
from dj_ops_lib.media.edits import SoundEdits
from dj_ops_lib.needs import Audio, Observer

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

_JUMP_S = 0.1
"""A time stamp further than this from where it should be is a hole or an overlap; below
it is rounding, which Matroska's milliseconds and AAC's priming bring."""


class Sound:
    """One `Audio` plan on one clip: takes decoded frames, gives samples to its observers.

    Args:
        plan: Rate and mixing.
        observers: Who gets the samples.
        length_s: Length of the clip in seconds, None for up to the end of the sound.
        uri: Name of the file, for messages.
    """

    def __init__(
        self, plan: Audio, observers: list[Observer], length_s: float | None, uri: str
    ) -> None:
        self._uri = uri
        self._plan = plan
        self._observers = observers
        self._length_s = length_s
        self._resampler: AudioResampler | None = None
        self._input: tuple[str, str, int] | None = None
        self._rate = 0
        self._channels = 1
        self._expected_s = 0.0
        self._position = 0
        self.given = 0

    def feed(self, frame: AudioFrame, time_s: float) -> None:
        """Take the frame that begins `time_s` seconds after the clip's start."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._input != kind or abs(time_s - self._expected_s) > _JUMP_S:
            self._restart(kind, time_s)
        self._expected_s = time_s + frame.samples / frame.sample_rate
        assert self._resampler is not None
        for resampled in self._resampler.resample(frame):
            self._take(resampled)

    def finish(self) -> None:
        """Give out what the resampler still holds."""
        if self._resampler is not None:
            for resampled in self._resampler.resample(None):
                self._take(resampled)
            self._resampler = None

    def _restart(self, kind: tuple[str, str, int], time_s: float) -> None:
        from av.audio.resampler import AudioResampler

        self.finish()
        self._input = kind
        # A file that changes its rate on the way keeps the first one.
        self._rate = self._rate or self._plan.rate or kind[2]
        layout = "mono" if self._plan.mono else None
        self._resampler = AudioResampler(format="fltp", layout=layout, rate=self._rate)
        self._position = round(time_s * self._rate)

    def _take(self, frame: AudioFrame) -> None:
        samples = frame.to_ndarray().astype(np.float32, copy=False)
        self._channels = samples.shape[0]
        begin = self._position
        self._position += samples.shape[1]
        end = self._position
        if self._length_s is not None:
            end = min(end, round(self._length_s * self._rate))
        while self.given < min(begin, end):
            hole = min(begin - self.given, self._rate)
            self._give(np.zeros((self._channels, hole), np.float32))
        if self.given < end:
            self._give(samples[:, self.given - begin : end - begin])

    def _give(self, samples: npt.NDArray[np.float32]) -> None:
        if not np.isfinite(samples).all():
            # FFmpeg's ebur128 says -70 LUFS of them, and NaN is below any level (2026-11-25).
            at = self.given / self._rate
            text = f"{self._uri}: its sound has samples that are no numbers, from {at:.2f} s on"
            raise MediaError(text, "decode_error")
        self.given += samples.shape[1]
        samples.flags.writeable = False
        for observer in self._observers:
            observer.audio(samples)


class Hearing:
    """Decodes the first audio stream of a clip for all plans.

    Args:
        stream: The stream.
        wanted: Plans and their observers.
        edits: The clip's edits.
        window: (time stamp of the file's beginning in seconds, start and end from there in
            microseconds); no end is the end of the sound.
        uri: Name of the file, for messages.
    """

    def __init__(
        self,
        stream: AudioStream,
        wanted: Sequence[tuple[Audio, Observer]],
        edits: Sequence[Edit],
        window: tuple[Fraction, int, int | None],
        uri: str,
    ) -> None:
        self.stream = stream
        zero, self._start_us, self._end_us = window
        self._clock = Clock(stream.time_base, zero)
        length = None if self._end_us is None else (self._end_us - self._start_us) / 1e6
        listeners: dict[Audio, list[Observer]] = {}
        for plan, observer in wanted:
            listeners.setdefault(plan, []).append(observer)
        self._sounds = [Sound(plan, who, length, uri) for plan, who in listeners.items()]
        self._edits = SoundEdits(edits, uri)
        self._uri = uri
        self._next_us = self._start_us
        self.past_end = False

    @classmethod
    def of(
        cls,
        container: InputContainer,
        wanted: Sequence[tuple[Audio, Observer]],
        edits: Sequence[Edit],
        window: tuple[Fraction, int, int | None],
        uri: str,
    ) -> Self | None:
        """For a container; None where nobody listens or there is nothing to hear."""
        streams = container.streams.audio
        return cls(streams[0], wanted, edits, window, uri) if wanted and streams else None

    @property
    def given(self) -> int:
        """Samples per channel handed out so far, over all plans."""
        return sum(sound.given for sound in self._sounds)

    def feed(self, packet: Packet[AudioStream]) -> None:
        """Decode a packet and hand out what of it lies in the window.

        Raises:
            MediaError: `decode_error`.
        """
        if self.past_end:
            return
        if packet.is_corrupt:
            raise self._error("damaged packet")
        try:
            frames = self.stream.codec_context.decode(packet if packet.size else None)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            raise self._error(str(error.strerror)) from error
        for frame in frames:
            self._hear(frame)

    def finish(self) -> None:
        """Hand out what filters and resamplers still hold."""
        for edited, time_s in self._edits.push(None, 0.0):
            self._give(edited, time_s)
        for sound in self._sounds:
            sound.finish()

    def _hear(self, frame: AudioFrame) -> None:
        time_us = self._next_us
        if frame.pts is not None:
            time_us = self._clock.time_us(frame.pts)
        self._next_us = time_us + round(frame.samples * 1_000_000 / frame.sample_rate)
        if self._end_us is not None and time_us >= self._end_us:
            self.past_end = True
        elif self._next_us > self._start_us:
            for edited, time_s in self._edits.push(frame, (time_us - self._start_us) / 1e6):
                self._give(edited, time_s)

    def _give(self, frame: AudioFrame, time_s: float) -> None:
        for sound in self._sounds:
            sound.feed(frame, time_s)

    def _error(self, text: str) -> MediaError:
        return MediaError(f"{self._uri}: decoding its sound fails: {text}", "decode_error")
