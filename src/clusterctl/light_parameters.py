"""Parameters of commands that load pydantic only if a value has to be converted.

Typer converts every value with pydantic, absent ones and texts, too. To load pydantic takes longer than the rest of
most commands. Typer has no setting for the class of a parameter, so the class is changed after Typer has made it.
"""

from enum import Enum, EnumType
from typing import Any, Final

from typer.core import TyperArgument, TyperCommand, TyperOption


class _LightOption(TyperOption):
    def process_value(self, ctx: Any, value: Any) -> Any:
        """Return the value for the command."""
        return _ready_value(self, ctx, value) if _is_ready(self, value) else super().process_value(ctx, value)


class _LightArgument(TyperArgument):
    def process_value(self, ctx: Any, value: Any) -> Any:
        """Return the value for the command."""
        return _ready_value(self, ctx, value) if _is_ready(self, value) else super().process_value(ctx, value)


_LIGHT: Final[dict[type, type]] = {TyperOption: _LightOption, TyperArgument: _LightArgument}


class LightCommand(TyperCommand):
    """A command with light parameters."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters, with the option for help."""
        return lightened(super().get_params(ctx))


def lightened(parameters: Any) -> Any:
    """Change the class of parameters that Typer has made, and return them."""
    for parameter in parameters:
        if light := _LIGHT.get(type(parameter)):
            parameter.__class__ = light
    return parameters


def _is_ready(parameter: Any, value: Any) -> bool:
    """Return whether a value needs no conversion, or one that is made here."""
    if value is None:
        return not parameter.required
    annotation = parameter.type_descriptor.annotation
    return isinstance(value, Enum) or (isinstance(value, str) and (annotation is str or _is_choice(annotation, value)))


def _is_choice(annotation: Any, value: str) -> bool:
    return isinstance(annotation, EnumType) and value in annotation.__members__.values()


def _ready_value(parameter: Any, ctx: Any, value: Any) -> Any:
    annotation = parameter.type_descriptor.annotation
    ready = value
    if value is None and (parameter.multiple or parameter.nargs == -1):
        ready = ()
    elif isinstance(value, str) and isinstance(annotation, EnumType):
        ready = annotation(value)
    return parameter.callback(ctx, parameter, ready) if parameter.callback else ready
