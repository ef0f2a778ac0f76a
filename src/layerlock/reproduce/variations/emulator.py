"""The emulator of an older processor: which one is pinned, and getting its one program out of the package."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from layerlock.errors import UnsafeArchive
from layerlock.io.atomic import storing
from layerlock.io.decompress import Damaged, ahead, pieces
from layerlock.io.documents import read_record, read_table
from layerlock.io.tarstream import Kind, Refused, TarReader, ar_member
from layerlock.model.recipe import Deb
from layerlock.reproduce.variations.machine import MODEL

DATA = Path(__file__).parents[2] / "data" / "qemu.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """The pinned emulator for one machine (`uname -m`): its program's path in the package, and the processor."""

    machine: str
    program: str
    cpu: str
    deb: Deb


@dataclass(frozen=True, kw_only=True, slots=True)
class Pins:
    """The data file as a whole."""

    emulators: tuple[Pin, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Emulator:
    """The program on this host, and the processor that it is told to emulate, as its option `-cpu` has it."""

    program: Path
    cpu: str


def pinned(machine: str, data: Path = DATA) -> Pin | None:
    """Give the pin for a machine, or None.

    Raises:
        InvalidRecipe: the data file does not follow its format.
    """
    pins = read_record(Pins, read_table(data, data.name), data, data.name)
    return next((pin for pin in pins.emulators if pin.machine == machine), None)


def take_out(pin: Pin, package: Path, place: Path) -> Emulator:
    """Write the program out of its fetched package to the new file `place`: the rest of it is 300 MB.

    Raises:
        UnsafeArchive: the package cannot be read, or has no such program.
    """
    try:
        with storing(f"read {package.name}"), package.open("rb") as file:
            _, size = ar_member(file, "data.tar")
            with closing(ahead(pieces(file, size))) as stream:
                reader = TarReader(stream)
                for member in reader:
                    if member.kind is Kind.FILE and member.name.removeprefix(b"./") == pin.program.encode():
                        with place.open("xb") as made:
                            made.writelines(reader.data())
                        place.chmod(0o555)
                        # A name that no processor has: by it a program knows that it is emulated already.
                        return Emulator(program=place, cpu=f"{pin.cpu},model-id={MODEL}")
    except (Damaged, Refused) as error:
        raise UnsafeArchive(f"{package.name} cannot be read: {error}") from error
    raise UnsafeArchive(f"{package.name} has no {pin.program}")
