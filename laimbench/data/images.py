"""Images with classes: ``builtin:digits``, or ``dir:PATH`` of image files in a folder for each class (needs Pillow)."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from laimbench.data.digits import CLASSES, PIXELS, load_digits
from laimbench.data.labelled import ByClass, Decoder, Labelled, LabelledSets, Unusable, load_folders
from laimbench.errors import InputError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")  # no others are tried, whatever a file claims to be
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
MOST_PIXELS = 50_000_000  # of a file's image; more is refused before anything is decoded


@dataclass(frozen=True)
class Images(ByClass):
    """Images as uint8 (n, H, W, C); batches come as float32 in [0, 1]."""

    largest: int  # value of a white pixel

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of an image in a batch."""
        height, width, channels = self.sets.train.items[np.arange(1)].shape[1:]
        return channels, height, width

    def at(self, side: Labelled, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return images (B, C, H, W) and labels (B,)."""
        pixels = side.items[positions].transpose(0, 3, 1, 2)
        return np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(self.largest), side.labels[positions]


def load_images(source: str, size: int = 32, channels: int = 3) -> Images:
    """Return the images of a source, scaled and cropped to ``size`` squared, with ``channels`` 1 (grey) or 3 (RGB).

    ``builtin:digits`` is 8 x 8 grey, whatever is asked for.

    Raises:
        InputError: a bad source or size, or Pillow is missing.
    """
    if source == "builtin:digits":
        return _digits()
    if not 1 <= size <= 1024 or channels not in (1, 3):
        raise InputError(f"image size {size} with {channels} channels, expected 1 to 1024 with 1 or 3")
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise InputError(f"data {source!r}: images need Pillow: pip install 'laimbench[images]'") from None

    def decode(path: Path) -> tuple[np.ndarray, int]:
        return read_image(path, size, channels), size

    kind = f"images {size} {channels}"
    return Images(source, load_folders(source, Decoder(kind, SUFFIXES, (size, size, channels), np.uint8, decode)), 255)


def read_image(path: Path, size: int, channels: int) -> np.ndarray:
    """Return an image file as uint8 (size, size, channels): upright, its middle, by bilinear interpolation.

    Raises:
        Unusable: broken, of no known format, or of more than MOST_PIXELS pixels.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Unusable(f"{image.width} x {image.height} pixels, expected at most {MOST_PIXELS:,}: refused")
                image.draft("RGB" if channels == 3 else "L", (size, size))  # JPEG decodes near the wanted size
                upright = ImageOps.exif_transpose(image).convert("RGB" if channels == 3 else "L")
                fitted = ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)
    except Unusable:
        raise
    except Image.DecompressionBombError:
        raise Unusable(f"more than {MOST_PIXELS:,} pixels: refused") from None
    except Exception as error:  # Pillow's readers raise all kinds for broken files
        raise Unusable(f"not a whole image ({type(error).__name__})") from None
    return np.asarray(fitted, dtype=np.uint8).reshape(size, size, channels)


def _digits() -> Images:
    digits = load_digits()
    sides = [
        Labelled((x * 16).astype(np.uint8).reshape(-1, PIXELS, PIXELS, 1), y, np.full(len(y), PIXELS))
        for x, y in ((digits.train_x, digits.train_y), (digits.validation_x, digits.validation_y))
    ]
    return Images("builtin:digits", LabelledSets(tuple(map(str, range(CLASSES))), *sides), 16)
