"""The endpoint: serves the champion of every use case and follows the ledger.

Packages, each of which imports only those below it:

- `http`: connection timeouts, API key checks and limits, routes, request and response types, OpenAPI, errors.
- `deployment`: which model serves each use case, and how it is replaced: ledger polling, loading, smoke test, API keys.
- `ranking`: the ways to rank items for a user: model, batch answers, vector index, similar items, segments, recent events.
- `telemetry`: Prometheus metrics, their sum over several workers, and the writer of the prediction log.

`app` assembles them. `standalone` serves one exported model without ledger and registry.
"""
