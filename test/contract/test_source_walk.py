"""The walker by samples: what it knows, what it refuses, and what it admits not to know."""

import textwrap
from types import SimpleNamespace

import pytest
from source_tree import SourceTree
from source_walk import Walk
from tensorrt_contract import PROPERTY_TYPES, PYCUDA, REQUIRED, TENSORRT

OLD, MIDDLE, NEW = "8.6.1", "10.3.0", "11.0.0.114"

FEATURES = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Features:
    fp16_flag: bool
    progress_monitor: bool
"""

HEADER = """
from __future__ import annotations
from types import ModuleType
from typing import Any
from package.features import Features
from package.parts import Session, engine_of
"""

PARTS = """
from __future__ import annotations
from types import ModuleType
from package.features import Features

class Session:
    engine: trt.ICudaEngine
    trt: ModuleType

    def __init__(self, runtime: trt.Runtime, features: Features) -> None:
        self.features = features
        self.engine = runtime.deserialize_cuda_engine(b"")
        self.execution = self.engine.create_execution_context()

def engine_of(session: Session) -> trt.ICudaEngine:
    return session.engine
"""


def found(sample, version=MIDDLE):
    tree = SourceTree(
        {
            "package/features.py": FEATURES,
            "package/parts.py": PARTS,
            "package/sample.py": HEADER + textwrap.dedent(sample),
        }
    )
    features = SimpleNamespace(
        fp16_flag=version != NEW, progress_monitor=not version.startswith("8")
    )
    apis = {"trt": TENSORRT.at(version), "cuda": PYCUDA.at(PYCUDA.versions[-1])}
    return Walk(tree, apis, features, PROPERTY_TYPES, REQUIRED).run(
        ["package.parts", "package.sample"]
    )


def violations(sample, version=MIDDLE):
    findings = found(sample, version)
    assert not findings.unknown, findings.unknown
    return [finding.text for finding in sorted(findings.violations)]


def unknowns(sample):
    findings = found(sample)
    assert not findings.violations, findings.violations
    return [finding.text for finding in sorted(findings.unknown)]


RIGHT = {
    "a call by position": "def f(e: trt.ICudaEngine) -> None:\n    e.get_tensor_name(0)",
    "a call by keyword": "def f(e: trt.ICudaEngine) -> None:\n    e.get_tensor_name(index=0)",
    "one of several overloads": """
        def f(e: trt.ICudaEngine) -> None:
            e.get_tensor_format("x")
            e.get_tensor_format("x", 0)
        """,
    "None until there is something": """
        def f(trt: ModuleType, logger: trt.ILogger, flag: bool) -> None:
            make = None
            if flag:
                make = trt.Runtime
            make(logger).deserialize_cuda_engine(b"").num_layers
        """,
    "starred arguments": """
        def f(c: trt.IExecutionContext, pair: tuple[str, int]) -> None:
            c.set_tensor_address(*pair)
        """,
    "results of results": """
        def f(trt: ModuleType, logger: trt.ILogger) -> None:
            trt.Runtime(logger).deserialize_cuda_engine(b"").create_execution_context().engine.name
        """,
    "containers and comprehensions": """
        def f(trt: ModuleType, e: trt.ICudaEngine, tensors: dict[str, trt.ITensor]) -> None:
            names = [e.get_tensor_name(i) for i in range(e.num_io_tensors)]
            types = {n: e.get_tensor_dtype(n).name for n in names}
            for name, tensor in tensors.items():
                if tensor.dtype == trt.DataType.HALF and (shape := tensor.shape)[0]:
                    print(tuple(shape), [t.is_shape_tensor for t in list(tensors.values())])
        """,
    "an attribute of a class elsewhere": """
        def f(session: Session) -> None:
            session.execution.execute_async_v3(0)
            engine_of(session).num_io_tensors
            session.trt.DataType.INT8
        """,
    "isinstance and assert": """
        def f(trt: ModuleType, thing: object, other: Any) -> None:
            if isinstance(thing, trt.ICudaEngine) and thing.num_layers:
                thing.create_execution_context()
            assert isinstance(other, trt.ITensor)
            other.dtype.name
            if not isinstance(thing, trt.IHostMemory):
                return
            thing.nbytes
        """,
    "names that stand there": """
        NAMES = ("HALF", "FLOAT")
        def f(trt: ModuleType) -> None:
            getattr(trt.DataType, "INT8").name
            for name in NAMES:
                getattr(trt.DataType, name)
        """,
    "a name that only some versions have, with a default": """
        def f(trt: ModuleType) -> None:
            getattr(trt.BuilderFlag, "STRICT_TYPES", None)
        """,
    "a callback put off": """
        from contextlib import ExitStack
        def f(stack: ExitStack, c: trt.IExecutionContext) -> None:
            stack.callback(c.execute_async_v3, 0)
        """,
    "try, with and match": """
        def f(trt: ModuleType, cuda: ModuleType, logger: trt.ILogger, kind: str) -> None:
            try:
                builder = trt.Builder(logger)
            except cuda.Error as error:
                raise ValueError(error.args) from error
            else:
                builder.create_builder_config().set_flag(trt.BuilderFlag.REFIT)
            finally:
                print(kind)
            match kind:
                case "network":
                    made = builder.create_network(0)
                case _:
                    return
            made.num_inputs
        """,
    "a module imported by its name": """
        import tensorrt as runtime
        from tensorrt import DataType
        import pycuda.driver as driver
        def f() -> None:
            runtime.Logger(min_severity=runtime.ILogger.Severity.ERROR).log(runtime.Logger.INFO, "")
            DataType.HALF.name
            driver.Stream().synchronize()
        """,
}  # fmt: skip


@pytest.mark.parametrize("sample", RIGHT.values(), ids=RIGHT.keys())
def test_what_is_right_is_let_through(sample):
    assert violations(sample) == []


WRONG = {
    "a method that is gone": (
        "def f(e: trt.ICudaEngine) -> None:\n    e.get_binding_shape(0)",
        "ICudaEngine.get_binding_shape is not in TensorRT 10.3.0; it is in 8.5.3.1..8.6.1",
    ),
    "a property that is gone": (
        "def f(c: trt.IBuilderConfig) -> None:\n    c.max_workspace_size = 1",
        "IBuilderConfig.max_workspace_size is not in TensorRT 10.3.0",
    ),
    "a class that is gone": (
        "def f(trt: ModuleType) -> None:\n    trt.UffParser()",
        "trt.UffParser is not in TensorRT 10.3.0",
    ),
    "a misspelt member of an enum": (
        "def f(trt: ModuleType) -> None:\n    trt.TensorFormat.LINAER",
        "TensorFormat.LINAER is not in TensorRT 10.3.0; it is in no version; near: LINEAR",
    ),
    "a name that getattr looks up": (
        'def f(trt: ModuleType) -> None:\n    getattr(trt.DataType, "HALV", None)',
        "DataType.HALV is not in TensorRT 10.3.0; it is in no version; near: HALF",
    ),
    "a keyword that is none": (
        "def f(c: trt.IExecutionContext) -> None:\n    c.set_input_shape('x', dims=(1,))",
        "IExecutionContext.set_input_shape(…, dims=) does not fit TensorRT 10.3.0, "
        "which takes (name, shape)",
    ),
    "too few arguments": (
        "def f(c: trt.IExecutionContext) -> None:\n    c.execute_async_v3()",
        "IExecutionContext.execute_async_v3() does not fit TensorRT 10.3.0, "
        "which takes (stream_handle)",
    ),
    "too many arguments": (
        "def f(e: trt.ICudaEngine) -> None:\n    e.get_tensor_mode('x', 0)",
        "ICudaEngine.get_tensor_mode(…, …) does not fit TensorRT 10.3.0, which takes (name)",
    ),
    "a constructor's arguments": (
        "def f(trt: ModuleType) -> None:\n    trt.Runtime()",
        "Runtime() does not fit TensorRT 10.3.0, which takes (logger)",
    ),
    "a class that cannot be made": (
        "def f(trt: ModuleType) -> None:\n    trt.ICudaEngine()",
        "ICudaEngine cannot be made in TensorRT 10.3.0",
    ),
    "an enum by number": (
        "def f(trt: ModuleType) -> None:\n    trt.DataType(1)",
        "DataType by number: numbers differ between versions; use names",
    ),
    "a question whether a name is there": (
        "def f(trt: ModuleType) -> None:\n    hasattr(trt.BuilderFlag, 'FP16')",
        "hasattr(trt.BuilderFlag, 'FP16'): ask the version table, a name that is missing is an "
        "error",
    ),
    "a method that is assigned": (
        "def f(c: trt.IExecutionContext) -> None:\n    c.execute_async_v3 = 1",
        "IExecutionContext.execute_async_v3 is a method: not assignable",
    ),
    "a call put off": (
        "def f(stack: ExitStack, c: trt.IExecutionContext) -> None:\n"
        "    stack.callback(c.execute_async_v3)",
        "IExecutionContext.execute_async_v3() does not fit TensorRT 10.3.0, "
        "which takes (stream_handle)",
    ),
    "an annotation that is not true": (
        "def f(session: Session) -> None:\n    e: trt.ICudaEngine = session.execution",
        "annotated as ICudaEngine, and a IExecutionContext is given",
    ),
    "an argument of the wrong class": (
        "def g(e: trt.ICudaEngine) -> None: ...\ndef f(s: Session) -> None:\n    g(s.execution)",
        "annotated as ICudaEngine, and a IExecutionContext is given",
    ),
    "a result of the wrong class": (
        "def f(s: Session) -> trt.ICudaEngine:\n    return s.execution",
        "annotated as ICudaEngine, and a IExecutionContext is given",
    ),
    "a name of pycuda": (
        "def f(cuda: ModuleType) -> None:\n    cuda.mem_allocate(1)",
        "cuda.mem_allocate is not in pycuda.driver 2025.1.2; it is in no version; "
        "near: mem_alloc, mem_alloc_like",
    ),
    "a field that the version table lacks": (
        "def f(features: Features) -> None:\n    print(features.fp17_flag)",
        "Features has no field fp17_flag",
    ),
    "a name that a class's body has as well": (
        "def f(thing: trt.ICudaEngine) -> None:\n    class Inner:\n        thing = 0\n"
        "        def run(self) -> None:\n            thing.get_binding_shape(0)",
        "ICudaEngine.get_binding_shape is not in TensorRT 10.3.0; it is in 8.5.3.1..8.6.1",
    ),
    "the last name in a loop that starts with it": (
        "def f(c: trt.IExecutionContext) -> None:\n    thing = None\n    while True:\n"
        "        if thing is not None:\n            thing.get_binding_name(0)\n"
        "        thing = c.engine",
        "ICudaEngine.get_binding_name is not in TensorRT 10.3.0; it is in 8.5.3.1..8.6.1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sample", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named(sample, message):
    texts = violations(sample)
    assert len(texts) == 1
    assert texts[0].startswith(message)


GUARDS = {
    "if": "if features.fp16_flag:\n        config.set_flag(trt.BuilderFlag.FP16)",
    "if not … else": "if not features.fp16_flag:\n        pass\n    else:\n"
    "        trt.BuilderFlag.FP16",
    "elif": "if flag:\n        pass\n    elif features.fp16_flag:\n        trt.BuilderFlag.FP16",
    "early return": "if not features.fp16_flag:\n        return\n    trt.BuilderFlag.FP16",
    "early raise": "if not features.fp16_flag:\n        raise ValueError\n    trt.BuilderFlag.FP16",
    "branches that both leave": "if not features.fp16_flag:\n        if flag:\n"
    "            return\n        else:\n            raise ValueError\n    trt.BuilderFlag.FP16",
    "conditional expression": "x = trt.BuilderFlag.FP16 if features.fp16_flag else None",
    "and": "features.fp16_flag and config.set_flag(trt.BuilderFlag.FP16)",
    "or": "not features.fp16_flag or config.set_flag(trt.BuilderFlag.FP16)",
    "and with another condition": "if flag and features.fp16_flag:\n        trt.BuilderFlag.FP16",
    "or of both": "if not (features.fp16_flag or features.fp16_flag):\n        return\n"
    "    trt.BuilderFlag.FP16",
    "a local name": "half = features.fp16_flag\n    if half:\n        trt.BuilderFlag.FP16",
    "while": "while features.fp16_flag:\n        trt.BuilderFlag.FP16\n        break",
    "a comprehension": "[trt.BuilderFlag.FP16 for _ in (1,) if features.fp16_flag and flag]",
    "a definition": "if features.fp16_flag:\n        def inner() -> None:\n"
    "            trt.BuilderFlag.FP16",
}  # fmt: skip


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS.keys())
def test_a_branch_that_the_version_table_closes_is_not_entered(guard):
    sample = (
        "def f(trt: ModuleType, config: trt.IBuilderConfig, features: Features, flag: bool) "
        f"-> None:\n    {guard}"
    )
    findings = {version: found(sample, version) for version in (OLD, MIDDLE, NEW)}
    assert [str(v) for version in findings for v in findings[version].violations] == []
    assert "fp16_flag" in findings[NEW].guards
    assert any(finding.text == "BuilderFlag.FP16" for finding in findings[OLD].resolved)
    assert not any(finding.text == "BuilderFlag.FP16" for finding in findings[NEW].resolved)
    # The same the other way round is seen.
    inverted = sample.replace("features.fp16_flag", "(not features.fp16_flag)")
    assert violations(inverted, NEW)


NO_GUARDS = {
    "another condition": "if flag:\n        trt.BuilderFlag.FP16",
    "or with another condition": "if flag or features.fp16_flag:\n        trt.BuilderFlag.FP16",
    "after the if": "if features.fp16_flag:\n        pass\n    trt.BuilderFlag.FP16",
    "a return that may not happen": "if not features.fp16_flag:\n        if flag:\n"
    "            return\n    trt.BuilderFlag.FP16",
    "a guard of something else": "if not features.progress_monitor:\n        return\n"
    "    trt.BuilderFlag.FP16",
    "a suppressed error": "if not features.fp16_flag:\n        with suppress(ValueError):\n"
    "            raise ValueError\n    trt.BuilderFlag.FP16",
    "a handler": "try:\n        trt.BuilderFlag.FP16\n    except AttributeError:\n        pass",
    "an attribute that somebody may set": "class Built:\n"
    "        def __init__(self) -> None:\n            self.half = features.fp16_flag\n"
    "        def build(self) -> None:\n            if self.half:\n"
    "                trt.BuilderFlag.FP16",
    "a local name that changes": "half = features.fp16_flag\n    for _ in (1, 2):\n"
    "        if half:\n            trt.BuilderFlag.FP16\n        half = flag",
}  # fmt: skip


@pytest.mark.parametrize("guard", NO_GUARDS.values(), ids=NO_GUARDS.keys())
def test_what_is_no_guard_does_not_hide_a_name_that_is_gone(guard):
    sample = (
        "from contextlib import suppress\n"
        "def f(trt: ModuleType, features: Features, flag: bool) "
        f"-> None:\n    {guard}"
    )
    assert violations(sample, MIDDLE) == []
    assert len(violations(sample, NEW)) == 1


UNKNOWN = {
    "an object without annotation": "def f(engine) -> None:\n    engine.num_io_tensors",
    "Any": "def f(engine: Any) -> None:\n    engine.name",
    "an assignment": "def f(config: Any) -> None:\n    config.max_workspace_size = 1",
    "a module by another name": "def f(module: ModuleType) -> None:\n    module.DataType",
    "a property whose type is not known": "def f(e: trt.ICudaEngine) -> None:\n"
    "    e.profiling_verbosity.name",
    "a name that is computed": "def f(trt: ModuleType, name: str) -> None:\n"
    "    getattr(trt.DataType, name)",
    "names that may have been added": "def f(trt: ModuleType, more: str) -> None:\n"
    "    names = ['HALF']\n    names.append(more)\n    for name in names:\n"
    "        getattr(trt.DataType, name)",
    "a method given away": "def f(run: Any, c: trt.IExecutionContext) -> None:\n"
    "    run(c.execute_async_v3, 0)",
    "a list that was empty": "def f(e: trt.ICudaEngine) -> None:\n    made = []\n"
    "    made.append(e)\n    made[0].num_io_tensors",
    "an object of somebody else's": "from queue import Queue\n"
    "def f(waiting: Queue[trt.ICudaEngine]) -> None:\n    waiting.get().num_io_tensors",
    "a name that only TensorRT has": "def f(path: str) -> None:\n    path.set_tensor_address(0, 0)",
    "a function that the facts do not describe": "def f(trt: ModuleType) -> None:\n"
    "    trt.nptype(trt.int8)",
    "a lambda's parameter": "f = lambda context: context.execute_async_v3(0)",
}  # fmt: skip


@pytest.mark.parametrize("sample", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_cannot_be_checked_is_said(sample):
    assert len(unknowns(sample)) == 1


def test_attributes_that_no_api_has_are_nobodys_business():
    assert (
        unknowns("def f(thing: Any, text: str) -> None:\n    thing.strip()\n    text.split()") == []
    )


ALLOCATOR = """
def make(trt: ModuleType) -> object:
    class Outputs(trt.IOutputAllocator):
        def __init__(self) -> None:
            {constructor}

        def {callback}(self, {parameters}) -> int:
            return 0

        def notify_shape(self, tensor_name: str, shape: trt.Dims) -> None:
            print([int(size) for size in shape])

    return Outputs()
"""
RIGHT_ALLOCATOR = {
    "constructor": "super().__init__()",
    "callback": "reallocate_output_async",
    "parameters": "tensor_name: str, memory: int, size: int, alignment: int, stream: int",
}


def test_a_subclass_with_the_right_callbacks_is_let_through():
    assert violations(ALLOCATOR.format(**RIGHT_ALLOCATOR)) == []


@pytest.mark.parametrize(
    ("change", "version", "message"),
    [
        ({}, OLD, "IOutputAllocator.reallocate_output_async is not in TensorRT 8.6.1"),
        ({"callback": "realocate_output"}, MIDDLE, "IOutputAllocator.realocate_output is not in"),
        ({"callback": "_helper"}, MIDDLE, "Outputs lacks reallocate_output or"),
        (
            {"parameters": "tensor_name: str, memory: int, size: int, alignment: int"},
            MIDDLE,
            "IOutputAllocator.reallocate_output_async of TensorRT 10.3.0 is called with "
            "(tensor_name, memory, size, alignment, stream), "
            "not (tensor_name, memory, size, alignment)",
        ),
        (
            {"parameters": "memory: int, tensor_name: str, size: int, alignment: int, stream: int"},
            MIDDLE,
            "IOutputAllocator.reallocate_output_async of TensorRT 10.3.0 is called with",
        ),
        (
            {"constructor": "pass"},
            MIDDLE,
            "Outputs.__init__ does not call the constructor of IOutputAllocator",
        ),
    ],
)  # fmt: skip
def test_a_subclass_that_a_version_would_not_call_is_named(change, version, message):
    texts = violations(ALLOCATOR.format(**{**RIGHT_ALLOCATOR, **change}), version)
    assert any(text.startswith(message) for text in texts)


def test_a_callback_behind_a_guard_counts_for_the_versions_that_have_it():
    sample = """
    def make(trt: ModuleType, features: Features) -> object:
        class Outputs(trt.IOutputAllocator):
            if features.progress_monitor:
                def reallocate_output_async(
                    self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
                ) -> int:
                    return 0
            else:
                def reallocate_output(
                    self, tensor_name: str, memory: int, size: int, alignment: int
                ) -> int:
                    return 0
            def notify_shape(self, tensor_name: str, shape: trt.Dims) -> None: ...
        return Outputs()
    """
    assert {version: violations(sample, version) for version in (OLD, MIDDLE, NEW)} == {
        OLD: [], MIDDLE: [], NEW: []
    }  # fmt: skip


def test_a_finding_names_file_and_line():
    finding = next(iter(found("\n\ndef f(e: trt.ICudaEngine) -> None:\n    e.nam").violations))
    line = (HEADER + "\n\ndef f(e: trt.ICudaEngine) -> None:\n    e.nam").count("\n") + 1
    assert str(finding).startswith(f"package/sample.py:{line}: ICudaEngine.nam is not in")
