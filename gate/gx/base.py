"""What our expectations share: the sentence a person reads, and the ledger they ask."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from great_expectations.expectations.expectation import BatchExpectation, render_suite_parameter_string
from great_expectations.render import LegacyRendererType, RenderedStringTemplateContent
from great_expectations.render.renderer.renderer import renderer
from great_expectations.render.renderer_configuration import RendererConfiguration, RendererValueType

from gate.errors import LedgerUnavailable

if TYPE_CHECKING:
    from gate.service.core import Service

Sentence = tuple[str, dict[str, str]]
"""A template with `$name`s, and what stands for them."""


class GateExpectation(BatchExpectation, ABC):
    """An expectation about a whole batch that can tell what it expects."""

    @classmethod
    def _sentence(cls, kwargs: Mapping[str, Any]) -> Sentence:
        """Return what is expected, as a person reads it."""
        raise NotImplementedError

    @classmethod
    def _prescriptive_template(cls, renderer_configuration: RendererConfiguration) -> RendererConfiguration:
        template, params = cls._sentence(renderer_configuration.kwargs)
        for name, value in params.items():
            renderer_configuration.add_param(name=name, param_type=RendererValueType.STRING, value=value)
        renderer_configuration.template_str = template
        return renderer_configuration

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    @render_suite_parameter_string
    def _prescriptive_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None
    ) -> list[RenderedStringTemplateContent]:
        known = RendererConfiguration(
            configuration=configuration, result=result, runtime_configuration=runtime_configuration
        )
        template, params = cls._sentence(known.kwargs)
        styling = (runtime_configuration or {}).get("styling", {})
        content = {"template": template, "params": params, "styling": styling}
        return [RenderedStringTemplateContent(content_block_type="string_template", string_template=content)]


def listed(words: Iterable[str]) -> str:
    """Return words as a person lists them."""
    return ", ".join(words)


def opened() -> Service:
    """Open the ledger of `GATE_HOME` or `GATE_DATABASE_URL` to ask it; where there is none, none is made.

    Raises:
        LedgerUnavailable: there is none, or it cannot be read.
        GateError: as `gate.service.core.open_service`.
    """
    from gate.service.core import open_service
    from gate.service.settings import read_settings

    settings = read_settings()
    if settings.embedded and not settings.pinned_keys_path.exists():
        raise LedgerUnavailable(
            "there is no ledger of consents here",
            where=str(settings.home),
            hint="set GATE_HOME or GATE_DATABASE_URL as for the command gate",
            reason="cannot_decide",
        )
    return open_service(settings)
