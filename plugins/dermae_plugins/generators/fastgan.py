"""A generative adversarial network of a class for small data sets: FastGAN with adaptive discriminator augmentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts.adaptive_augment import AdaptiveAugment
from dermae_plugins.parts.augment import flipped
from dermae_plugins.parts.fastgan_nets import Critic, Decoder, Painter, levels_of, reconstructions


class FastGAN(api.Generator):
    """FastGAN (Liu et al., ICLR 2021): a generator with skip-layer excitation against a discriminator that must be able
    to redraw real images from its features. Told the class as by Miyato and Koyama (2018), augmented as by Karras et
    al. (2020).

    Images have a side of 4, 5, 6 or 7 times a power of two, from 16 to 512 px. The paper compares redrawn images by
    LPIPS, whose weights are not installed: here they are compared by their mean absolute difference. Images are drawn
    from running statistics of the norms, so that they do not depend on their batch. The artifact holds the
    discriminator and its decoders, too, though drawing needs the generator alone.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Size of both networks, optimiser, and augmentation. The defaults are the paper's networks."""

        latent: Annotated[int, api.Between(1)] = 256
        """Numbers an image is drawn from, besides its noise."""
        width: Annotated[int, api.Between(2)] = 64
        """Channels of the generator's maps of 128 x 128; smaller maps have up to 16 times as many."""
        critic_width: Annotated[int, api.Between(2)] = 64
        """Channels of the discriminator's maps of 64 x 64; smaller maps have up to 8 times as many."""
        lr: Annotated[float, api.Between(0)] = 2e-4
        """Learning rate of both Adams, whose betas are 0.5 and 0.999."""
        reconstruction: Annotated[float, api.Between(0)] = 1.0
        """Weight of the mean absolute error, in -1..1, of the images that the decoders redraw (section 3.2)."""
        flip: bool = True
        """Mirror half of the training images left to right; generated images are then mirrored as often."""
        ada_target: Annotated[float, api.Between(-1, 1)] | None = 0.6
        """Share r_t, the mean of sign D(real), that the augmentation is steered to (Karras et al. 2020, section 3.1);
        null is without augmentation."""
        ada_images: Annotated[int, api.Between(1)] = 500_000
        """Real images over which the probability of augmentation can rise from 0 to 1."""
        ada_interval: Annotated[int, api.Between(1)] = 4
        """Steps between two changes of the probability."""
        ada_limit: Annotated[float, api.Between(0, 1)] = 0.8
        """Largest probability; Karras et al. find that augmentations may leak above 0.8."""

    @dataclass(frozen=True, kw_only=True)
    class Sampling:
        """How latents are drawn."""

        truncation: Annotated[float, api.Between(0, 1)] = 1.0
        """Factor psi on the latent, not on the class: below 1 for less variety, 0 for one image a class but for its
        noise."""

    tiny: ClassVar[Mapping[str, Any]] = {
        "latent": 8,
        "width": 2,
        "critic_width": 2,
        # whatever the discriminator says, images are augmented from the fourth step on
        "ada_target": -1.0,
        "ada_images": 16,
        "ada_interval": 3,
    }
    conditional = True

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        size, classes = task.image_size, len(task.classes)
        self.start, self.levels = levels_of(size)
        self.painter = Painter(size, config.latent, config.width, classes)
        self.critic = Critic(size, config.critic_width, classes)
        self.part, self.whole = (
            Decoder(inside, config.critic_width, doublings)
            for inside, doublings in zip(reversed(self.critic.widths), reconstructions(self.levels), strict=True)
        )
        self.augment = None
        if config.ada_target is not None:
            self.augment = AdaptiveAugment(config.ada_target, config.ada_images, config.ada_interval, config.ada_limit)

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        judges = [*self.critic.parameters(), *self.part.parameters(), *self.whole.parameters()]
        painting, judging = (
            torch.optim.Adam(parameters, lr=self.config.lr, betas=(0.5, 0.999), fused=True)
            for parameters in ([p for p in self.painter.parameters() if p.requires_grad], judges)
        )
        run.optimizers(painting, judging)
        for batch in run.batches(train):
            labels = batch.labels
            assert labels is not None
            real = self.augmented(flipped(api.from_uint8(batch.images), self.config.flip))
            fake = self.augmented(self.drawn(labels))
            answers, larger, smaller = self.critic(real, labels)
            redrawn = self.redrawn(real, larger, smaller)
            judged = F.relu(1 - answers).mean() + F.relu(1 + self.critic(fake.detach(), labels)[0]).mean()
            if self.augment is not None:
                self.augment.listen(answers.detach().mean(dim=(1, 2)), run.step_index)
                run.log(ada_p=self.augment.p.clone())
            run.log(judged=judged, redrawn=redrawn)
            run.step(judged + self.config.reconstruction * redrawn, judging)
            run.step(-self.critic(fake, labels)[0].mean(), painting)

    def augmented(self, images: Tensor) -> Tensor:
        """What the discriminator sees of float images (B, 3, S, S)."""
        return images if self.augment is None else self.augment(images)

    def drawn(self, labels: Tensor) -> Tensor:
        """Float images (B, 3, S, S) of these classes, with gradient."""
        count, device = len(labels), labels.device
        latent = torch.randn(count, self.config.latent, device=device)
        return self.painter(latent, labels, torch.randn(count, self.painter.grain, device=device))

    def redrawn(self, images: Tensor, larger: Tensor, smaller: Tensor) -> Tensor:
        """Mean absolute error of a random part and of the whole, redrawn from features of the discriminator.

        The part is a window of half the side, the same for the whole batch; large images are compared at a
        smaller size.
        """
        side = 2 * self.start
        # drawn on the CPU: a position from a GPU would be waited for
        top, left = torch.randint(side + 1, (2,)).tolist()
        scale = images.shape[-1] // larger.shape[-1]
        window = larger[:, :, top : top + side, left : left + side]
        seen = images[:, :, top * scale : (top + side) * scale, left * scale : (left + side) * scale]
        return _difference(self.part(window), seen) + _difference(self.whole(smaller), images)

    def sample(self, conditions: api.Conditions, sampling: Any, noise: api.Noise) -> Tensor:
        latent = sampling.truncation * noise.normal((self.config.latent,))
        return api.to_uint8(self.painter(latent, conditions.labels, noise.normal((self.painter.grain,))))

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        return [api.CostUnit(self.painter, self._drawing())]

    def training_cost(self) -> Iterable[api.CostUnit]:
        """The generator once; the discriminator on real and on drawn images, and again for the generator's gradient."""
        _, label, _ = self._drawing()
        side, size = 2 * self.start, self.task.image_size
        image = torch.zeros(1, 3, size, size, device=label.device)
        widths = self.critic.widths
        features = [torch.zeros(1, width, side, side, device=label.device) for width in widths]
        return [
            *self.cost("sample"),
            api.CostUnit(self.critic, (image, label), calls=2),
            api.CostUnit(self.critic, (image, label), backward="inputs"),
            api.CostUnit(self.part, (features[1],)),
            api.CostUnit(self.whole, (features[0],)),
        ]

    def _drawing(self) -> tuple[Tensor, ...]:
        """Inputs of one pass of the generator, on its device."""
        device = next(self.parameters()).device
        sizes = self.config.latent, self.painter.grain
        latent, grain = (torch.zeros(1, size, device=device) for size in sizes)
        return latent, torch.zeros(1, dtype=torch.int64, device=device), grain


def _difference(redrawn: Tensor, images: Tensor) -> Tensor:
    """Mean absolute difference at the size of what was redrawn."""
    return F.l1_loss(redrawn.float(), F.avg_pool2d(images, images.shape[-1] // redrawn.shape[-1]))


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"fastgan": FastGAN}
