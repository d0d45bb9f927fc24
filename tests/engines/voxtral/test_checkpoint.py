"""What may be wrong with a checkpoint before it is loaded; the rest is in the tests of both models."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxtral_voice.errors import EngineError

pytestmark = pytest.mark.voxtral


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"model_type": "mini"}', None),
        ('{"model_type": "whisper"}', "holds a model of type 'whisper', and Mini is wanted here."),
        ("{}", "holds a model of type None, and Mini is wanted here."),
        ("[]", "config.json is damaged: fetch Mini again."),
        ("{", "config.json is damaged: fetch Mini again."),
        (None, "config.json is missing: fetch Mini again."),
    ],
)
def test_its_files_and_its_kind_are_looked_at_first(tmp_path: Path, config: str | None, words: str | None) -> None:
    from voxtral_voice.engines.voxtral.checkpoint import Checkpoint

    (tmp_path / "tekken.json").touch()
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    checkpoint = Checkpoint(tmp_path, "cpu", "responder", "Mini", "mini")
    if words is None:
        checkpoint.require()
        return
    with pytest.raises(EngineError) as caught:
        checkpoint.require()
    assert str(caught.value).endswith(words)
    assert caught.value.engine == "responder"
