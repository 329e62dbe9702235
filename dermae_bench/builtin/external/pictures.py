"""JPEG and PNG files of a folder or an archive, in the order of their paths, read a few at a time."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dermae_bench import api
from dermae_bench.archives.members import Limits, Refused
from dermae_bench.archives.reading import PackedFiles
from dermae_bench.builtin.datasets.image_folder import OTHER, READABLE

# Pictures hardly shrink. Without ZIP64 a ZIP file ends at 4 GiB and 65,535 entries by itself.
IMAGES = Limits(what="a folder of images", entries=500_000, bytes=64 * 2**30, ratio=20, depth=16, directory=64 * 2**20)
BESIDE = frozenset({
    ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".xml", ".html", ".pdf", ".xlsx", ".py",
    ".md5", ".sha1", ".sha256", ".log", ".bib", ".cff",
})  # fmt: skip
"""What lies beside the images of a release and tells of them."""
NAMED_BESIDE = frozenset({"readme", "license", "licence", "copying", "notice", "citation", "md5sums", "sha256sums"})
"""The same, of files without a suffix."""
AT_ONCE = 64
"""Images that are looked at together."""
LOOKED_AT = 8
"""Side in pixels of images that are only looked at."""


class Pictures(ABC):
    """Images that lie somewhere, by their POSIX paths."""

    paths: tuple[str, ...]
    """Sorted."""

    @abstractmethod
    def read(self, positions: Sequence[int], size: int) -> tuple[NDArray[np.uint8], list[tuple[int, str]]]:
        """uint8 RGB (B, 3, size, size), squashed to the square, of the images at these positions of `paths`.

        Returns:
            The pixels, and (position, reason) of every image that cannot be read.
        """

    def unreadable(self) -> dict[int, str]:
        """Position -> reason, of all images that cannot be read; each is decoded for that."""
        found: dict[int, str] = {}
        for first in range(0, len(self.paths), AT_ONCE):
            found |= self.read(range(first, min(first + AT_ONCE, len(self.paths))), LOOKED_AT)[1]
        return found


def pictures(folder: Path | None, archive: Path | None, inside: str) -> Pictures:
    """The images in a folder or in an archive, hidden ones left out.

    Args:
        inside: POSIX path of the folder in it that counts, "" for all of it.

    Raises:
        DataMissing: it is not there.
        DataError: the archive is refused; or everything in it that is neither an image nor tells of images, by name.
    """
    if archive is not None:
        return _Packed(archive, inside)
    assert folder is not None
    return _InFolder(folder, inside)


class _InFolder(Pictures):
    def __init__(self, root: Path, inside: str) -> None:
        self._base = root / inside
        if not self._base.is_dir():
            raise api.DataMissing(f"there is no folder {self._base}")
        if inside and (why := api.leads_out(self._base, (root,))) is not None:
            raise api.DataError(f"{inside}: {why}")
        names, problems = _walked(self._base, root)
        self.paths = _images(names, problems, str(self._base))

    def read(self, positions: Sequence[int], size: int) -> tuple[NDArray[np.uint8], list[tuple[int, str]]]:
        return _decoded({position: self._base / self.paths[position] for position in positions}, {}, positions, size)


class _Packed(Pictures):
    def __init__(self, path: Path, inside: str) -> None:
        if not path.is_file():
            raise api.DataMissing(f"there is no file {path}; a folder is named by `path`")
        try:
            self._packed = PackedFiles(path, IMAGES)
        except Refused as refusal:
            raise api.DataError(
                f"{path.name} is not read: it {refusal}", hint="unpack it, and name the folder by `path`"
            ) from None
        self._start = f"{inside}/" if inside else ""
        here = [name for name in self._packed.names if name.startswith(self._start)]
        if not here:
            raise api.DataMissing(f"there is no folder {inside} in {path.name}")
        names = [name.removeprefix(self._start) for name in here if not _hidden(name)]
        self.paths = _images(names, [], f"{path.name}/{inside}".rstrip("/"))

    def read(self, positions: Sequence[int], size: int) -> tuple[NDArray[np.uint8], list[tuple[int, str]]]:
        # into files of our own, since the decoder reads files; a temporary folder lives in memory on most systems
        with tempfile.TemporaryDirectory(prefix="dermae-") as scratch:
            files, refused = {}, {}
            for position in dict.fromkeys(positions):
                try:
                    files[position] = self._packed.copy(self._start + self.paths[position], Path(scratch))
                except Refused as refusal:
                    refused[position] = str(refusal)
            return _decoded(files, refused, positions, size)


def _decoded(
    files: dict[int, Path], refused: dict[int, str], positions: Sequence[int], size: int
) -> tuple[NDArray[np.uint8], list[tuple[int, str]]]:
    pixels = np.zeros((len(positions), 3, size, size), dtype=np.uint8)
    sound = [place for place, position in enumerate(positions) if position in files]
    decoded = np.zeros((len(sound), 3, size, size), dtype=np.uint8)
    failed = api.read_images([files[positions[place]] for place in sound], size, decoded)
    pixels[sound] = decoded
    wrong = refused | {positions[sound[place]]: reason for place, reason in failed}
    return pixels, sorted(wrong.items())


def _walked(base: Path, root: Path) -> tuple[list[str], list[str]]:
    """Files below `base` by their paths from there, and what is no file or leads out of `root`."""
    names: list[str] = []
    problems: list[str] = []
    todo = [(str(base), "")]
    while todo:
        folder, start = todo.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{start}{entry.name}"
                if entry.name.startswith("."):
                    # hidden files belong to no key: a change of one would go unnoticed
                    continue
                if entry.is_symlink() and entry.is_dir():
                    problems.append(f"{name}: a link to a folder is not followed")
                elif entry.is_dir(follow_symlinks=False):
                    todo.append((entry.path, f"{name}/"))
                elif entry.is_symlink() and (why := api.leads_out(entry.path, (root,))) is not None:
                    problems.append(f"{name}: {why}")
                elif not entry.is_file():
                    problems.append(f"{name}: neither a file nor a folder")
                else:
                    names.append(name)
    return names, problems


def _images(names: Sequence[str], problems: list[str], place: str) -> tuple[str, ...]:
    images = []
    for name in names:
        path = PurePosixPath(name)
        suffix = path.suffix.lower()
        if suffix in READABLE | OTHER:
            # those of other formats are refused by the decoder, so that `skip` counts them
            images.append(name)
        elif suffix not in BESIDE and path.name.lower() not in NAMED_BESIDE:
            problems.append(f"{name}: by its name neither an image nor a text beside the images")
    if problems:
        raise api.DataError(f"the images in {place} cannot be used: {len(problems)} problem(s)", sorted(problems))
    if not images:
        raise api.DataError(f"there are no images in {place}", hint="JPEG and PNG files are images, in any sub-folder")
    return tuple(sorted(images))


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
