"""What a nested run is compared with: the settings of every control, and that they are queued and end."""

import pytest

from core.errors import BadInput
from core.level_settings import Level
from core.nested_presets import NESTED_PRESETS, nested_controls
from core.presets import preset
from core.runs.families import experiment
from core.runs.store import Store

CONFIGS = {name: config for name, _, _, _, config in NESTED_PRESETS} | {"digits-nested": preset("digits-nested").config}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_control_takes_the_same_epochs_and_the_same_images(name):
    config = CONFIGS[name]
    for role, control in nested_controls(config, "teacher-run"):
        assert control.epochs == config.epochs and control.batch_size == config.batch_size, role
        assert control.dataset in (config.dataset, f"{config.dataset}-coarse")
        assert (control.source == "teacher-run") == (role == "student")


def test_which_controls_there_are():
    roles = {name: [role for role, _ in nested_controls(config, "t")] for name, config in CONFIGS.items()}
    assert roles["digits-nested"] == ["level alone", "L1-norm filters", "student"]
    assert roles["digits-nested-weights"] == ["level alone", "level alone", "random masks"]
    assert roles["nested-wrn-14-2"] == ["level alone"] * 3 + ["L1-norm filters", "student"]
    assert roles["shapes-hierarchy"] == ["level alone"]
    assert "student" not in [role for role, _ in nested_controls(CONFIGS["digits-nested"])]


def test_a_coarse_level_alone_learns_the_coarse_data_set():
    (_, alone), *_ = nested_controls(CONFIGS["shapes-hierarchy"])
    last = alone.phases[-1]
    assert alone.dataset == "shapes-coarse" and last.alone == 0 and not any(level.labels for level in last.levels)


def test_searched_masks_become_magnitude_pruning_of_the_dense_network():
    (_, alone), *_ = nested_controls(CONFIGS["digits-nested-weights"])
    assert [(p.method, p.epochs) for p in alone.phases] == [("dense", 20), ("nested", 40)]
    assert alone.phases[-1].masks == "magnitude" and alone.phases[-1].starts_from == "previous"


def test_what_cannot_be_trained_is_said_before_anything_is_queued(tmp_path):
    config = CONFIGS["shapes-hierarchy"]
    levels = (Level(width=0.5, labels="/tmp/m.json"), Level())
    phase = config.phases[-1].model_copy(update={"levels": levels})
    own = config.model_copy(update={"phases": (phase,)})
    store = Store(tmp_path)
    with pytest.raises(
        BadInput, match=r"a level alone must have a data set of its classes; level 0 has those of /tmp/m\.json"
    ):
        next(experiment(store, own, [0], True))
    assert store.all() == []
