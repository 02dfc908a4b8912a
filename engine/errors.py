"""Everything the engine refuses.

EngineError
├── ShapeError      ValueError     shapes that do not go together
├── DtypeError      TypeError      dtypes that do not go together
├── AxisError       IndexError     an axis or index that does not exist
├── GradientError   RuntimeError   a derivative that does not exist
├── TracingError    TypeError      a number was asked for where only its shape is known
├── GraphError      ValueError     a program that contradicts itself
├── RandomError     RuntimeError   a draw without a stream of random numbers
├── DeviceError     RuntimeError   a device that is not there
├── StateError      KeyError       a state that does not fit the module
├── CompileError    RuntimeError   generated code that no compiler here takes
└── FormatError     ValueError     a file that is not what it says
"""


class EngineError(Exception):
    """A refusal of the engine."""


class ShapeError(EngineError, ValueError):
    """The shapes do not go together."""


class DtypeError(EngineError, TypeError):
    """The dtypes do not go together."""


class AxisError(EngineError, IndexError):
    """The axis or index does not exist."""


class GradientError(EngineError, RuntimeError):
    """The derivative does not exist."""


class TracingError(EngineError, TypeError):
    """A number was asked for where only its shape is known."""


class GraphError(EngineError, ValueError):
    """The program contradicts itself."""


class RandomError(EngineError, RuntimeError):
    """A draw without a stream of random numbers."""


class DeviceError(EngineError, RuntimeError):
    """The device is not there."""


class StateError(EngineError, KeyError):
    """The state does not fit the module."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class CompileError(EngineError, RuntimeError):
    """No compiler here takes the generated code."""


class FormatError(EngineError, ValueError):
    """The file is not what it says."""
