"""Routes of what was judged: budgets, alerts, decisions, errors, what adds up, changes, resources, deliveries."""

from typing import Annotated

from fastapi import FastAPI, Query

from otel_cx_collector.api import judged
from otel_cx_collector.api.asking import Days, Limit, Name, Picked, get, said
from otel_cx_collector.api.plain import Json
from otel_cx_collector.views import budgets, decisions, journey, overview, windows
from otel_cx_collector.views.incident import NOTICES
from otel_cx_collector.views.resources import resources
from otel_cx_collector.views.source import Source


def install(api: FastAPI, source: Source) -> None:
    """Add the routes."""
    _of_journey(api, source)
    _of_all(api, source)


def _of_journey(api: FastAPI, source: Source) -> None:
    @get(api, "/journeys/{name}/budgets", judged.BudgetsOut)
    def journey_budgets(name: Name, limit: Limit = budgets.ACCOUNTS) -> Json:
        """Error budgets now: of the journey, by segment, and of the accounts that are worst off."""
        return said(judged.BudgetsOut.of(budgets.budgets(source, name, limit)))

    @get(api, "/journeys/{name}/alerts", list[judged.Alert])
    def alerts(name: Name, picked: Picked = None) -> Json:
        """Burn-rate alerts, the ones that fire now first."""
        found = budgets.alerts(source, name, windows.window(source, picked))
        return said([judged.Alert.of(alert) for alert in found])

    @get(api, "/journeys/{name}/decision", judged.DecisionOut)
    def decision(name: Name) -> Json:
        """What the rules say now, with live values and what is missing."""
        return said(judged.DecisionOut.of(decisions.judgement(source, name)))

    @get(api, "/journeys/{name}/records", list[judged.RecordOut])
    def records(name: Name, limit: Limit = decisions.RECORDS) -> Json:
        """Changes of rules' verdicts, newest first."""
        return said([judged.RecordOut.of(record) for record in decisions.records(source, name, limit)])

    @get(api, "/journeys/{name}/errors", list[judged.ErrorOut])
    def errors(name: Name, picked: Picked = None) -> Json:
        """Failures and rejections by class and step, the most harm first."""
        found = journey.errors(source, name, windows.window(source, picked))
        return said([judged.ErrorOut.model_validate(one) for one in found])


def _of_all(api: FastAPI, source: Source) -> None:
    @get(api, "/paper-cuts", list[judged.PaperCutOut])
    def paper_cuts(days: Days = overview.DAYS) -> Json:
        """Small incidents that add up, the most harm first."""
        return said([judged.PaperCutOut.of(cut) for cut in overview.paper_cuts(source, days)])

    @get(api, "/hurt-again", list[judged.HurtAgainOut])
    def hurt_again(limit: Limit = 50) -> Json:
        """Customers hurt again and again within 30 days, the most often first."""
        return said([judged.HurtAgainOut.of(one) for one in overview.hurt_again(source, limit)])

    @get(api, "/changes", list[judged.ChangeOut])
    def changes(picked: Picked = None) -> Json:
        """Deploys and flags."""
        window = windows.window(source, picked)
        return said([judged.ChangeOut.of(change) for change in source.changes(window.from_s, window.to_s)])

    @get(api, "/saturation", list[judged.ResourceOut])
    def saturation() -> Json:
        """How full the resources of the inventory are, the fullest first."""
        return said([judged.ResourceOut.of(resource) for resource in resources(source)])

    @get(api, "/deliveries", list[judged.DeliveryOut])
    def deliveries(
        incident: Annotated[str | None, Query(description="An incident's id; all without it.", max_length=100)] = None,
        limit: Limit = NOTICES,
    ) -> Json:
        """Notices and what became of them, newest first."""
        return said([judged.DeliveryOut.of(each) for each in source.deliveries(incident, limit)])
