"""Images with classes: by SimpleModel, pixel by pixel, and by ViT."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from laimbench.data import Images, load_images
from laimbench.errors import InputError
from laimbench.models import SimpleModel, ViT, ViTConfig
from laimbench.models.flops import simple_training_flops, vit_training_flops
from laimbench.train.config import RunConfig
from laimbench.train.tasks.task import MOST_VALIDATION, ClassTask, held_out_batches, tensors


class ImageTask(ClassTask):
    """What both families do with images; an epoch is a fresh permutation of the training images."""

    READS = ("data", "image_size")

    def __init__(self, config: RunConfig):
        self.config, self.data = config, self.load(config)
        self.notes, self.classes = self.data.notes, len(self.data.classes)
        colours, size, _ = self.data.shape
        self.facts = {"classes": list(self.data.classes), "image_size": size, "colours": colours}
        self.model = self.build(config, self.facts)
        self.flops_per_step = self.training_flops()

    @staticmethod
    def load(config: RunConfig) -> Images:
        return load_images(config.data, config.image_size)

    def training_flops(self) -> float:
        raise NotImplementedError

    def batch(self, step: int) -> tuple[Tensor, ...]:
        return tensors(self.data.train_batch(self.config.seed, step, self.config.batch_size))

    def validation(self, most: int | None = None) -> list[tuple[Tensor, ...]]:
        return [tensors(batch) for batch in held_out_batches(self.data, 500, most or MOST_VALIDATION)]


class MLPTask(ImageTask):
    """Family "mlp": images as vectors of their pixels."""

    @staticmethod
    def build(config: RunConfig, facts: dict[str, Any]) -> nn.Module:
        pixels = facts["colours"] * facts["image_size"] ** 2
        return SimpleModel(pixels, config.width, len(facts["classes"]), config.backend, config.depth)

    def training_flops(self) -> float:
        pixels = int(np.prod(self.data.shape))
        return simple_training_flops(pixels, self.config.width, self.classes, self.config.batch_size, self.config.depth)

    def batch(self, step: int) -> tuple[Tensor, ...]:
        images, labels = super().batch(step)
        return images.flatten(1), labels

    def validation(self, most: int | None = None) -> list[tuple[Tensor, ...]]:
        return [(images.flatten(1), labels) for images, labels in super().validation(most)]


class ViTTask(ImageTask):
    """Family "vit". Training images are shifted by up to an eighth of their side, whose edges are then zero: without it a ViT, which
    does not know that neighbouring pixels belong together, learns few images by heart.
    """

    @staticmethod
    def build(config: RunConfig, facts: dict[str, Any]) -> nn.Module:
        size = facts["image_size"]
        patch = config.patch or max(1, size // 4)
        if size % patch:
            raise InputError(f"patch is {patch}, expected a divisor of the image size {size}")
        shape = ViTConfig(
            size, facts["colours"], patch, len(facts["classes"]), config.width, config.depth, config.head_count,
            config.hidden, config.mlp or "gelu", config.norm or "layer",
        )  # fmt: skip
        return ViT(shape, config.backend)

    def training_flops(self) -> float:
        return vit_training_flops(self.model.config, self.config.batch_size)

    def batch(self, step: int) -> tuple[Tensor, ...]:
        images, labels = self.data.train_batch(self.config.seed, step, self.config.batch_size)
        most = max(1, images.shape[-1] // 8)
        generator = np.random.default_rng((self.config.seed, step, 3))
        shifts = generator.integers(-most, most + 1, (len(images), 2))
        padded = np.pad(images, ((0, 0), (0, 0), (most, most), (most, most)))
        side = images.shape[-1]
        shifted = [
            image[:, most + down : most + down + side, most + right : most + right + side]
            for image, (down, right) in zip(padded, shifts, strict=True)
        ]
        return tensors((np.stack(shifted), labels))
