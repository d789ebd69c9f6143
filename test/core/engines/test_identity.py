from __future__ import annotations

import json
import pickle
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.engines.compatibility import obstacles
from jetson_detect.core.engines.identity import EngineIdentity
from jetson_detect.core.engines.machine import MachineIdentity
from jetson_detect.core.model import Precision

sys.path.insert(0, str(Path(__file__).parent))
from engine_samples import MACHINE, identity

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
MAPPINGS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)
MACHINES = st.builds(MachineIdentity, *[st.text(max_size=6)] * 5)
IDENTITIES = st.builds(
    EngineIdentity,
    model=st.text(min_size=1, max_size=6),
    source=st.text("0123456789abcdef", min_size=64, max_size=64),
    precision=st.sampled_from(list(Precision)),
    shapes=MAPPINGS,
    options=MAPPINGS,
    calibration=st.text(max_size=20),
    recipe=st.integers(min_value=0),
    machine=MACHINES,
)


@given(IDENTITIES)
def test_an_identity_comes_back_from_json(some):
    again = EngineIdentity.from_json(json.loads(json.dumps(some.to_json())))
    assert again == some
    assert hash(again) == hash(some)
    assert again.key == some.key
    assert again.differences(some) == ()


@given(IDENTITIES, IDENTITIES, st.sampled_from([field.name for field in fields(EngineIdentity)]))
def test_identities_that_differ_say_where(one, other, name):
    mixed = replace(one, **{name: getattr(other, name)})
    assert (mixed == one) == (mixed.key == one.key) == (mixed.differences(one) == ())


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"model": "other"}, "model other instead of demo"),
        (
            {"source": "cd" * 32},
            "source cdcdcdcdcdcd instead of abababababab (the model's file changed)",
        ),
        ({"precision": "fp32"}, "precision fp32 instead of fp16"),
        (
            {"shapes": {"image": [1, 320, 320, 3]}},
            "shape of image [1,320,320,3] instead of [1,160,160,3]",
        ),
        (
            {"options": {"workspace_mb": 512, "tf32": True}},
            "workspace_mb 512 instead of 1024",
        ),
        ({"options": {"workspace_mb": 1024}}, "tf32 unset instead of true"),
        (
            {"options": {"workspace_mb": "1024", "tf32": True}},
            'workspace_mb "1024" instead of 1024',
        ),
        ({"calibration": "12" * 32}, "calibration 121212121212 instead of none"),
        ({"recipe": 2}, "recipe 2 instead of 1"),
        ({"tensorrt": "8.5.3.1"}, "TensorRT 8.5.3.1 instead of 8.6.0"),
        ({"gpu": "NVIDIA H200"}, "GPU NVIDIA H200 instead of Orin"),
        ({"compute_capability": "9.0"}, "compute capability 9.0 instead of 8.7"),
        ({"driver": "535.104.05"}, "driver 535.104.05 instead of 540.4.0"),
        ({"l4t": ""}, "L4T none instead of 36.4.0"),
    ],
)
def test_each_difference_is_named_with_both_values(changes, difference):
    assert identity(**changes).differences(identity()) == (difference,)


def test_the_key_of_an_identity_stays_the_same_from_release_to_release():
    assert identity().key == "caaae6883eb20beb5969e598576a34d7"


def test_order_and_types_that_json_does_not_tell_apart_do_not_make_another_engine():
    same = identity(
        precision=Precision.FP16,
        shapes={"image": (1.0, np.int64(160), 160, 3)},
        options={"tf32": np.bool_(True), "workspace_mb": 1024.0},
    )
    assert same == identity()
    assert same.key == identity().key


def test_true_is_not_one():
    assert identity(options={"level": True}) != identity(options={"level": 1})


def test_what_was_given_may_change_afterwards():
    options = {"profiles": [[1, 2]]}
    some = identity(options=options)
    key = some.key
    options["profiles"][0].append(3)
    assert EngineIdentity.from_json(some.to_json()).key == key


def test_an_identity_goes_to_another_process():
    assert pickle.loads(pickle.dumps(identity())) == identity()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ""}, "model: '' is not the model's name"),
        ({"source": "abc"}, "source: 'abc' is not a SHA-256"),
        ({"precision": "fp12"}, "precision: 'fp12' is not one of fp32, fp16, bf16, int8, fp8"),
        ({"shapes": None}, "shapes: None is not a mapping"),
        ({"options": {"x": float("nan")}}, "options.x: nan is no finite number"),
        ({"options": {"x": {"y": [Path()]}}}, r"options.x.y\[0\]: .* is a PosixPath, for which"),
        ({"options": {1: 2}}, "options: the key 1 is no string"),
        ({"calibration": None}, "calibration: None is not a string"),
        ({"recipe": True}, "recipe: True is not a whole number"),
        ({"recipe": -1}, "recipe: -1 is not a whole number"),
    ],
)
def test_a_field_that_cannot_be_is_named(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        identity(**changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.pop("recipe"), "identity: there is no recipe"),
        (lambda document: document.update(colour=1), "identity: unknown is colour"),
        (lambda document: document["machine"].pop("gpu"), "machine: there is no gpu"),
        (lambda document: document["machine"].update(l4t=36), "machine.l4t: 36 is not a string"),
        (lambda document: document.update(machine=[]), r"machine: \[\] is not a mapping"),
    ],
)
def test_json_that_is_no_identity_is_refused_by_field(change, message):
    document = json.loads(identity().canonical)
    change(document)
    with pytest.raises(ValueError, match=f"^{message}"):
        EngineIdentity.from_json(document)


@pytest.mark.parametrize(
    ("options", "machine", "left"),
    [
        ({}, {}, ()),
        ({}, {"driver": "1.2"}, ("driver 540.4.0 instead of 1.2",)),
        ({"version_compatible": True}, {"tensorrt": "8.7.1", "driver": "1.2", "l4t": ""}, ()),
        ({"version_compatible": True}, {"tensorrt": "8.10.0"}, ()),
        (
            {"version_compatible": False},
            {"tensorrt": "8.7.1"},
            ("TensorRT 8.6.0 instead of 8.7.1",),
        ),
        ({"version_compatible": True}, {"tensorrt": "8.5.3"}, ("TensorRT 8.6.0 instead of 8.5.3",)),
        (
            {"version_compatible": True},
            {"tensorrt": "10.0.1"},
            ("TensorRT 8.6.0 instead of 10.0.1",),
        ),
        ({"version_compatible": True}, {"gpu": "Xavier"}, ("GPU Orin instead of Xavier",)),
        (
            {"hardware_compatibility": "ampere_plus"},
            {"gpu": "RTX 4090", "compute_capability": "8.9", "driver": "1.2", "l4t": ""},
            (),
        ),
        ({"hardware_compatibility": "ampere_plus"}, {"compute_capability": "12.0"}, ()),
        (
            {"hardware_compatibility": "ampere_plus"},
            {"gpu": "Xavier", "compute_capability": "7.2"},
            ("GPU Orin instead of Xavier", "compute capability 8.7 instead of 7.2"),
        ),
        (
            {"hardware_compatibility": "ampere_plus"},
            {"tensorrt": "8.6.1"},
            ("TensorRT 8.6.0 instead of 8.6.1",),
        ),
        ({"hardware_compatibility": "same_compute_capability"}, {"gpu": "Orin Nano"}, ()),
        (
            {"hardware_compatibility": "same_compute_capability"},
            {"gpu": "RTX 4090", "compute_capability": "8.9"},
            ("GPU Orin instead of RTX 4090", "compute capability 8.7 instead of 8.9"),
        ),
        ({"hardware_compatibility": "none"}, {"gpu": "Nano"}, ("GPU Orin instead of Nano",)),
    ],
)
def test_options_of_tensorrt_let_other_machines_run_an_engine(options, machine, left):
    assert obstacles(identity(options=options), replace(MACHINE, **machine)) == left
