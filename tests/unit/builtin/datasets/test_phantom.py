"""The phantom obeys its own truth: pure images, known rule, no leak of the class, the promised counts."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from dermae_bench import api
from dermae_bench.builtin.datasets import phantom_truth as truth
from dermae_bench.builtin.datasets.phantom import Phantom, PhantomConfig, dermae_datasets

CONFIG = PhantomConfig(images=2000)


@pytest.fixture(scope="module")
def examples() -> list[api.Example]:
    return list(Phantom(CONFIG).examples())


def labels(examples: list[api.Example]) -> np.ndarray:
    return np.array([truth.CLASSES.index(example.label) for example in examples])


def test_the_name_and_the_tasks() -> None:
    assert dermae_datasets() == {"phantom": Phantom}
    diagnosis, malignancy = Phantom.tasks(CONFIG)
    assert diagnosis.classes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert malignancy.positive == "malignant"
    assert malignancy.parent == "diagnosis"
    assert {name for name, answer in malignancy.mapping.items() if answer == "malignant"} == {"akiec", "bcc", "mel"}
    assert set(malignancy.mapping) == set(diagnosis.classes)


def test_the_promised_number_of_photographs_with_unique_ids(examples: list[api.Example]) -> None:
    assert len(examples) == 2000
    assert len({example.id for example in examples}) == 2000
    repeats = Counter(Counter(example.group for example in examples).values())
    assert set(repeats) == {1, 2, 3}
    assert 1.25 < 2000 / repeats.total() < 1.42


def test_more_images_only_add(examples: list[api.Example]) -> None:
    assert list(Phantom(replace(CONFIG, images=300)).examples()) == examples[:300]


def test_a_group_has_one_label_and_one_split(examples: list[api.Example]) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for example in examples:
        assert seen.setdefault(example.group, (example.label, example.split)) == (example.label, example.split)
        assert example.split == api.lesion_grouped(example.group)


def test_class_shares_follow_ham10000_above_the_floor(examples: list[api.Example]) -> None:
    shares = np.bincount(labels(examples), minlength=7) / 2000
    assert shares == pytest.approx(truth.prior(CONFIG.floor), abs=0.015)
    assert min(Counter(e.label for e in examples if e.split == "test").values()) >= 10
    assert truth.prior(0.0)[truth.CLASSES.index("nv")] == pytest.approx(6705 / 10015)
    assert truth.prior(1.0) == pytest.approx(np.full(7, 1 / 7))


def test_an_image_is_a_pure_function_of_seed_and_id(examples: list[api.Example]) -> None:
    first = [Phantom(CONFIG).image(example, 32) for example in examples[:4]]
    other = Phantom(replace(CONFIG, images=60))
    for example, image in reversed(list(zip(other.examples()[:4], first, strict=True))):
        assert image.shape == (3, 32, 32)
        assert image.dtype == np.uint8
        assert np.array_equal(other.image(example, 32), image)
    changed = Phantom(replace(CONFIG, seed=1))
    assert not np.array_equal(changed.image(changed.examples()[0], 32), first[0])


def test_photographs_of_one_lesion_differ_but_share_its_truth(examples: list[api.Example]) -> None:
    group = next(group for group, count in Counter(e.group for e in examples).items() if count == 3)
    a, b, _ = [e for e in examples if e.group == group]
    assert all(a.attributes[name] == b.attributes[name] for name in (*truth.ATTRIBUTES, "skin_tone"))
    dataset = Phantom(CONFIG)
    assert np.abs(dataset.image(a, 32).astype(int) - dataset.image(b, 32)).mean() > 3


@pytest.mark.parametrize("size", [8, 33, 97])
def test_odd_sizes_are_drawn(examples: list[api.Example], size: int) -> None:
    assert Phantom(CONFIG).image(examples[0], size).shape == (3, size, size)


@pytest.mark.parametrize("size", [16, 40, 64, 128, 200])
def test_every_size_shows_the_same_lesion(examples: list[api.Example], size: int) -> None:
    dataset = Phantom(CONFIG)

    def coarse(image: np.ndarray, cells: int) -> np.ndarray:
        side = image.shape[-1] // cells
        return image.reshape(3, cells, side, cells, side).mean(axis=(2, 4))

    for example in examples[:6]:
        small, large = (coarse(dataset.image(example, side), 8) for side in (size, 96))
        assert np.abs(small - large).mean() < 4
        assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.97


def test_the_drawing_never_sees_the_class(examples: list[api.Example]) -> None:
    dataset = Phantom(CONFIG)
    relabelled = replace(examples[0], label="vasc" if examples[0].label != "vasc" else "nv")
    assert np.array_equal(dataset.image(relabelled, 16), dataset.image(examples[0], 16))


def test_captions_tell_what_is_seen_and_not_what_it_is(examples: list[api.Example]) -> None:
    words = {word.strip(",") for e in examples for word in (e.caption or "").lower().split()}
    forbidden = {*truth.CLASSES, "melanoma", "naevus", "nevus", "carcinoma", "keratosis", "benign", "malignant"}
    assert not words & forbidden
    assert all((e.caption or "").startswith("an image containing a") for e in examples)
    assert len({e.caption for e in examples}) > 300
    asymmetric = [float(e.attributes["asymmetry"] or 0) for e in examples if "an asymmetric" in (e.caption or "")]
    assert min(asymmetric) >= 2 / 3


def test_attributes_have_the_same_names_and_true_ranges(examples: list[api.Example]) -> None:
    assert len({tuple(e.attributes) for e in examples}) == 1
    for name in (*truth.ATTRIBUTES[:-1], "hair", "bubbles"):
        values = np.array([e.attributes[name] for e in examples], float)
        assert values.min() >= 0
        assert values.max() <= 1
    assert {e.attributes["skin_tone"] for e in examples} == {"I", "II", "III", "IV", "V", "VI"}


def test_the_bayes_rule_is_calibrated_and_beats_the_majority(examples: list[api.Example]) -> None:
    probabilities = Phantom(CONFIG).bayes(examples)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(2000))
    guess, y = probabilities.argmax(axis=1), labels(examples)
    accuracy = (guess == y).mean()
    # A correct posterior states its own accuracy.
    assert accuracy == pytest.approx(probabilities.max(axis=1).mean(), abs=0.015)
    assert accuracy > 0.9 > (y == truth.CLASSES.index("nv")).mean() + 0.25


def test_difficulty_makes_classes_overlap() -> None:
    scores = []
    for difficulty in (0.0, 0.5, 1.0):
        dataset = Phantom(replace(CONFIG, images=1000, difficulty=difficulty))
        found = list(dataset.examples())
        scores.append((dataset.bayes(found).argmax(axis=1) == labels(found)).mean())
    assert scores[0] == 1.0
    assert scores[0] > scores[1] > scores[2]


def test_shuffled_labels_leave_truth_attributes_and_test_alone(examples: list[api.Example]) -> None:
    shuffled = list(Phantom(replace(CONFIG, label_noise=1.0)).examples())
    assert [e.attributes for e in shuffled] == [e.attributes for e in examples]
    assert all(a.label == b.label for a, b in zip(shuffled, examples, strict=True) if a.split == "test")
    train = [(a, b) for a, b in zip(shuffled, examples, strict=True) if a.split == "train"]
    guess = Phantom(CONFIG).bayes([a for a, _ in train]).argmax(axis=1)
    noisy = labels([a for a, _ in train])
    rare = guess != truth.CLASSES.index("nv")
    assert (guess[rare] == noisy[rare]).mean() < 0.15
    assert len({(a.group, a.label) for a, _ in train}) == len({a.group for a, _ in train})


def test_pixels_tell_the_classes_apart(examples: list[api.Example]) -> None:
    """Even a nearest-class-mean rule on the mean colour of the middle does better than chance."""
    dataset = Phantom(CONFIG)
    y = labels(examples[:500])
    colour = np.stack([dataset.image(e, 16)[:, 4:12, 4:12].mean(axis=(1, 2)) for e in examples[:500]])
    means = np.stack([colour[:300][y[:300] == k].mean(axis=0) for k in range(7)])
    guess = np.linalg.norm(colour[300:, None] - means, axis=2).argmin(axis=1)
    recall = [(guess[y[300:] == k] == k).mean() for k in range(7)]
    assert np.mean(recall) > 0.25


def test_no_torch_is_imported() -> None:
    code = (
        "import sys\nfrom dermae_bench.builtin.datasets import phantom, ham10000, image_folder\n"
        "d = phantom.Phantom(phantom.PhantomConfig(images=50)); d.image(d.examples()[0], 16)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
