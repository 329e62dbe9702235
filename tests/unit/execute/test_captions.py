"""What is said of images: by the data set, by a file, by a template; and what a generator is asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attempts import Bench
from made import ROOT, UPPER, asked, context, made

from dermae_bench.errors import DataError, UserError
from dermae_bench.execute.stages.captions import captioned, captions_to_draw
from dermae_bench.execute.stages.common import Table, image_set
from dermae_bench.plugin.data import Task
from dermae_bench.scoring.labels import task_of
from dermae_bench.store.manifests import Manifest, describe_files
from dermae_bench.suite.stage import key_of

LABELS = [0, 1, 2, 1, 1, 0, 2, 1]
SEX = ["male", "female", None, "male", "female", "male", None, "male"]
AGE = [40.0, 41.5, None, 80.0, 0.0, 1e6, 33.0, 50.0]
OWN = [f"picture {i}" for i in range(8)]
TRAIN = [{"split": "train"}]
NOTHING = {"template": None, "file": None, "task": None, "words": {}}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def data(bench: Bench) -> Manifest:
    splits = ["train"] * 7 + ["test"]
    return made(bench, LABELS, splits=splits, captions=OWN, sex=SEX, age=AGE)


def say(bench: Bench, data: Manifest, **about: Any) -> list[str]:
    """The captions of `train`."""
    here = context(bench, {"captions": {**NOTHING, **about}, "seed": 0}, prepare=data)
    found = captioned(here, image_set(here, TRAIN, None), TRAIN)
    assert found.captions is not None and len(found.captions) == len(found)
    return list(found.captions)


def test_the_data_set_says_it_itself(bench: Bench, data: Manifest) -> None:
    assert say(bench, data) == OWN[:7]
    silent = made(bench, LABELS, names="silent")
    with pytest.raises(UserError, match="these images have no captions of their own"):
        say(bench, silent)
    here = context(bench, {}, prepare=data)
    images = image_set(here, TRAIN, None)
    assert captioned(here, images, TRAIN) is images


def test_a_template_says_classes_and_attributes(bench: Bench, data: Manifest) -> None:
    found = say(bench, data, template="a {label} of a {sex}, {age}", task="diagnosis", words={"NV": "common mole"})
    assert found[:6] == [
        "a MEL of a male, 40", "a common mole of a female, 41.5", "a BCC of a unknown, unknown",
        "a common mole of a male, 80", "a common mole of a female, 0", "a MEL of a male, 1e+06",
    ]  # fmt: skip
    upper = say(bench, data, template="{{{label}}}", task="malignancy", words={"malignant": "cancer"})
    assert upper[:3] == ["{cancer}", "{benign}", "{cancer}"]
    # whatever the generator's own task is, and whether or not the images are labelled
    labelled = task_of(asked(UPPER))
    here = context(bench, {"captions": {**NOTHING, "template": "{label}", "task": "diagnosis"}}, prepare=data)
    said = captioned(here, image_set(here, TRAIN, labelled), TRAIN)
    assert said.labels is not None and said.labels.tolist() == [1, 0, 1, 0, 0, 1, 1]
    assert list(said.captions or ()) == ["MEL", "NV", "BCC", "NV", "NV", "MEL", "BCC"]
    assert say(bench, data, template="a photograph") == ["a photograph"] * 7


def test_a_choice_of_images_is_said_image_by_image(bench: Bench, data: Manifest) -> None:
    choose = {"fraction": None, "count": 3, "per_class": None, "task": None, "seed": 0}
    spec = [{"split": "train", "choose": choose}]
    here = context(bench, {"captions": {**NOTHING, "template": "{label} {sex}", "task": "diagnosis"}}, prepare=data)
    found = captioned(here, image_set(here, spec, None), spec)
    numbers = [int(name.removeprefix("image-")) for name in found.ids]
    assert len(numbers) == 3 and numbers != [0, 1, 2]
    assert found.captions == [f"{ROOT['classes'][LABELS[i]]} {SEX[i] or 'unknown'}" for i in numbers]


def test_a_field_that_the_images_lack_is_told_with_those_they_have(bench: Bench, data: Manifest) -> None:
    with pytest.raises(UserError, match=r"the template names \{site\}, which these images do not have") as caught:
        say(bench, data, template="at {site}")
    assert caught.value.hint == "fields: label, age, sex"


def test_a_file_says_it_by_id(bench: Bench, data: Manifest, tmp_path: Path) -> None:
    file = tmp_path / "said.csv"
    lines = [f'image-{i},"{text}, said"' for i, text in enumerate(OWN)]
    # rows stand in any order, and tell of images that nobody asked for
    file.write_text("\ufeffid,caption,more\n" + "".join(f"{line},x\n" for line in reversed([*lines, "other,x"])))
    assert say(bench, data, file=str(file)) == [f"picture {i}, said" for i in range(7)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,caption\n" + "image-0,a\n" * 1, ["no line for image-1", "no line for image-6"]),
        ("id,caption\n" + "".join(f"image-{i},a\n" for i in range(7)) + "image-3,b\n", ["image-3"]),
        ("id,caption\n" + "".join(f"image-{i},{' ' if i == 4 else 'a'}\n" for i in range(7)), ["image-4: no caption"]),
        (f"id,caption\n{''.join(f'image-{i},' + 'a' * (4001 if i == 5 else 4) + chr(10) for i in range(7))}",
         ["image-5: longer than 4,000 letters"]),
        ("id,text\nimage-0,a\n", ["caption"]),
        ("", ["said.csv"]),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_told(
    bench: Bench, data: Manifest, tmp_path: Path, text: str, told: list[str]
) -> None:
    file = tmp_path / "said.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        say(bench, data, file=str(file))
    assert all(words in str(caught.value) for words in told)


def test_of_many_missing_lines_ten_are_named(bench: Bench, tmp_path: Path) -> None:
    many = made(bench, [0] * 30, names="many")
    file = tmp_path / "said.csv"
    file.write_text("id,caption\nmany-0,a\n")
    with pytest.raises(DataError) as caught:
        say(bench, many, file=str(file))
    assert str(caught.value).count("no line for many-") == 10
    assert "no line for 19 more of 30 images" in str(caught.value)


# -- to draw -----------------------------------------------------------------------------------------------------


def drawn(
    bench: Bench, data: Manifest, labels: list[int] | None, *, seed: int = 0, learnt: Any = None, **about: Any
) -> list[str]:
    work = {"captions": {**NOTHING, **about}, "seed": seed, **({} if learnt is None else {"learnt": learnt})}
    here = context(bench, work, prepare=data)
    task = task_of(asked(ROOT)) if labels is not None else Task(name="", classes=())
    count = len(labels) if labels is not None else 20
    nth = [labels[:i].count(labels[i]) for i in range(count)] if labels is not None else list(range(count))
    found = captions_to_draw(here, None if labels is None else np.array(labels), nth, task)
    assert found is not None and len(found) == count
    return found


def test_captions_follow_the_class_that_is_asked_for(bench: Bench, data: Manifest) -> None:
    asked_for = [2, 0, 1, 1, 1, 0, 2, 1, 0]
    found = drawn(bench, data, asked_for)
    classes = [LABELS[OWN.index(text)] for text in found]
    assert classes == asked_for
    # each is said once before any is said again: of NV there are three in `train`, of MEL two
    said = [text for text, label in zip(found, asked_for, strict=True) if label == 1]
    assert len(set(said[:3])) == 3 and said[3] == said[0]
    assert OWN[7] not in found
    by_template = drawn(bench, data, asked_for, template="a {label}", task="diagnosis")
    assert by_template == [f"a {ROOT['classes'][label]}" for label in asked_for]
    assert set(drawn(bench, data, asked_for, template="{label}", task="malignancy")) == {"benign", "malignant"}


def test_captions_without_classes_go_round_all_of_train(bench: Bench, data: Manifest) -> None:
    found = drawn(bench, data, None)
    assert Counter(found[:14]) == dict.fromkeys(OWN[:7], 2)
    assert found[:7] == found[7:14]


def test_the_seed_and_the_ids_alone_decide_which_captions_come_first(bench: Bench, data: Manifest) -> None:
    one, two = drawn(bench, data, None), drawn(bench, data, None, seed=1)
    assert one == drawn(bench, data, None) != two
    # a longer set begins with the shorter one
    assert drawn(bench, data, [1, 0, 1]) == drawn(bench, data, [1, 0, 1, 2, 1])[:3]


def test_a_class_that_train_lacks_has_no_caption(bench: Bench) -> None:
    few = made(bench, [0, 0, 1], captions=["a", "b", "c"], names="few")
    with pytest.raises(UserError, match="no real image that was learnt from shows BCC: there is no caption to ask for"):
        drawn(bench, few, [0, 2])
    # one that is not asked for does not matter
    assert set(drawn(bench, few, [0, 0])) == {"a", "b"}


def test_a_generator_of_few_images_is_told_the_captions_of_these_alone(bench: Bench, data: Manifest) -> None:
    few = {"fraction": None, "count": 2, "per_class": None, "task": None, "seed": 0}
    part = {"split": "train", "choose": few}
    own = image_set(context(bench, {}, prepare=data), [part], None).captions
    assert own is not None and len(own) == 2
    for template in (None, "a {sex}"):
        found = drawn(bench, data, None, learnt={"real": [part], "more": False}, template=template)
        expected = own if template is None else {f"a {SEX[OWN.index(text)] or 'unknown'}" for text in own}
        assert set(found) == set(expected)


def test_who_asks_for_none_gets_none(bench: Bench, data: Manifest) -> None:
    assert captions_to_draw(context(bench, {}, prepare=data), None, [0, 1], Task(name="", classes=())) is None


def test_captions_of_drawn_images_are_theirs(bench: Bench, data: Manifest) -> None:
    key = key_of({"drawn": 2})
    out = bench.store.attempt_folder(key) / "out"
    out.mkdir(parents=True)
    np.save(out / "images-00000.npy", np.zeros((2, 3, 16, 16), dtype=np.uint8))
    Table.write(out / "table.parquet", {"id": ["d-0", "d-1"], "label": [0, 1], "caption": ["asked 0", "asked 1"]})
    samples = Manifest(
        kind="sample",
        key=key,
        name="sample/x",
        parts={"drawn": 2},
        files=describe_files(out),
        summary={"task": "diagnosis"},
    )
    bench.store.commit(out, samples)
    spec = [*TRAIN, {"samples": "samples0"}]
    here = context(bench, {"captions": NOTHING}, prepare=data, samples0=samples)
    found = captioned(here, image_set(here, spec, None), spec)
    assert found.captions == [*OWN[:7], "asked 0", "asked 1"]
    here = context(bench, {"captions": {**NOTHING, "template": "{label}", "task": "diagnosis"}}, prepare=data,
                   samples0=samples)  # fmt: skip
    assert list(captioned(here, image_set(here, spec, None), spec).captions or ())[-2:] == ["MEL", "NV"]
