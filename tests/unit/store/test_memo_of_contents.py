"""The memo of content digests says nothing that it was not told."""

from __future__ import annotations

import os
from pathlib import Path

from dermae_bench.store.contents import Contents


def test_a_changed_digit_is_noticed(tmp_path: Path) -> None:
    data, memo = tmp_path / "data.csv", tmp_path / "contents.json"
    data.write_text("image_id,dx\n")
    os.utime(data, (1, 1))
    one = Contents(memo)
    digest = one.file(data)
    one._memo[str(data)] = [*one._memo.get(str(data), [0, 0, 0, 0])[:4], digest]
    one._dirty = True
    one.save()
    text = memo.read_text()
    assert digest in text
    memo.write_text(text.replace(digest, digest[::-1]))
    assert Contents(memo)._memo == {}
    memo.write_text(text)
    assert list(Contents(memo)._memo) == [str(data)]
