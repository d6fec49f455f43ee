"""What the fake source is about: a hosting company's journeys, and hostile texts. Not its figures."""

import hashlib

NOW_S = 1_795_514_400
"""24 Nov 2026 10:00:00 UTC."""

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}${7*7}",
    "javascript:alert(1)",
    "</textarea></title><svg onload=alert(1)>",
    "'; DROP TABLE steps; --",
    "\u202egnirts esrever\u202c",
    "zero\u0000width\u200b\ufeff",
    "%3Cscript%3E&lt;b&gt;&#60;i&#62;",
    "<!-- --><![CDATA[ ]]>",
    "𝕳𝖊𝖑𝖑𝖔 👩‍👩‍👧‍👦 " + "ẅ̈̈̈̈" * 3,
    "a" * 300,
)

INVENTORY = """
version: 1
currency: EUR
environments: [production]
dimensions:
  segment: {enterprise: 1.0, developer: 0.7, trial: 0.4}
  plan: [free, pro, business]
  region: [eu, us, apac]
  market: {attribute: shop.market, values: [de, fr, uk]}
identify:
  customer: {attribute: enduser.id, hash: true}
ignore: [{route: "GET /healthz"}, {user_agent: "kube-probe/"}]
maintenance: [{journey: support, from: 2026-11-25T02:00:00Z, to: 2026-11-25T03:00:00Z}]
journeys:
  signup:
    title: Sign-up
    owner: growth
    criticality: 0.9
    steps: [form, verify, {name: welcome, terminal: true}]
    objectives: [{sli: availability, target: 99.5%}]
  login:
    title: Portal login
    owner: identity
    service: panel
    criticality: 0.9
    steps: [{name: password, slow_after: 800ms}, {name: session, slow_after: 500ms}]
    objectives: [{sli: availability, target: 99.9%}, {sli: latency, step: password, threshold: 800ms, target: 95%}]
  dns-change:
    title: DNS change
    owner: edge
    criticality: 0.6
    steps: [edit, {name: publish, slow_after: 5s}]
    objectives: [{sli: availability, target: 99%}]
  deployment:
    title: Site deployment
    owner: builds
    criticality: 0.8
    timeout: 1h
    steps: [push, build, {name: live, slow_after: 30s, terminal: true}]
    objectives: [{sli: availability, target: 99%}, {sli: completion, target: 90%}]
  checkout:
    title: Checkout
    owner: payments-sre
    stakeholders: [head-of-commerce, support-lead]
    service: billing
    criticality: 1.0
    kpi: {name: conversion, sli: completion}
    attempt: {attribute: cart.id}
    steps:
      - {name: cart, stage: 0.4}
      - {name: payment, stage: 1.0, slow_after: 1.5s, depends_on: [payments-db, worker-queue]}
      - {name: confirm, stage: 1.0, terminal: true}
    objectives:
      - {sli: availability, target: 99.9%}
      - {sli: latency, step: payment, threshold: 1.5s, target: 95%}
      - {sli: completion, target: 60%}
    match:
      - {step: payment, service: billing, route: "POST /pay"}
    actions:
      - {when: changed.deploy, do: Roll back the billing service, link: "https://runbooks.example/checkout#rollback"}
      - {when: changed.flag, do: Switch the new checkout off}
      - {do: Route payments to the second gateway}
    errors:
      - {class: gateway-timeout, step: payment, error_type: timeout, recoverable: true, consequence: support ticket}
  support:
    title: Support ticket
    owner: support
    criticality: 0.4
    steps: [open, send]
saturation:
  payments-db: {metric: db.client.connection.count, where: {service.name: billing}, limit: 50, warn: 80%}
  worker-queue: {metric: messaging.queue.length, limit: 1000}
  edge-disk: {metric: system.filesystem.usage, limit: 500000000000}
escalation:
  - name: checkout slow and conversion down
    journey: checkout
    when:
      all:
        - {latency: p95, step: payment, over: 5m, above: 1.5s, for: 5m}
        - {completion: drop, by: 8%, over: 15m}
    then: {severity: P1, notify: [oncall, business]}
    on_unknown: {severity: P2, notify: [oncall]}
  - name: saturated but customers feel nothing
    journey: dns-change
    when:
      all:
        - {saturation: edge-disk, above: 80%, for: 5m}
        - {completion: unchanged, within: 2%, over: 15m}
    then: {monitor: 15m}
  - {name: impact, journey: "*", when: {impact: score, above: 4}, then: {severity: by-score, notify: [oncall]}}
notify:
  oncall: {pagerduty: {routing_key_file: /run/secrets/pd}}
  business: {slack: {webhook_url_file: /run/secrets/slack}, min_severity: P1}
  audit: {webhook: {url: "https://audit.example/otel-cx"}}
"""


def chance(*of: object) -> float:
    """A number in [0, 1) that depends on its arguments alone."""
    digest = hashlib.blake2b(repr(of).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
