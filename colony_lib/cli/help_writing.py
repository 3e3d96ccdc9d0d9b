"""The topics of `colony help` on files that people write: a sample that works, and what each key is for."""

from __future__ import annotations

WORKFLOW = """\
name: sizes
trigger: {cron: "0 6 * * 1-5", timezone: Europe/Berlin}   # by itself, after 'colony cron install'
steps:
  - name: list
    run: printf '["%s"]' colony.yml        # what it prints is its output: JSON where it is JSON, else text
  - name: count
    depends_on: [list]
    for_each: "{{steps.list.output}}"      # once for each {{item}}, four at a time
    run: wc -l < {{item}}                  # a value is one word to the shell, whatever it holds
    retry: {max_attempts: 3, delay: 1s}
    timeout: 10m
  - name: tell
    depends_on: [count]
    when: "{{steps.count.output}} != []"
    run: echo {{steps.count.output}} "lines on" {{date}}
error_handling:
  - {step: notify, run: 'colony broadcast {{failure.step}} "failed:" {{failure.error}}'}
"""

PIPELINE = """\
sources:
  orders: {type: file, path: "inbox/orders_{{date}}.csv"}
warehouse: duckdb:///warehouse/shop.duckdb
datasets:
  orders:                                  # of the source of that name, unless 'source:' names another
    schema:                                # a Table Schema: the columns, in snake_case
      fields:
        - {name: order_id, type: integer, constraints: {required: true}}
        - {name: ordered_at, type: date, format: "%d/%m/%Y"}
        - {name: amount, type: number, constraints: {minimum: 0}}
        - {name: country, type: string}
      primaryKey: order_id
    transform:                             # besides names, nulls, types, dates, duplicates
      - {type: derive, column: large, expression: amount >= 100}
    checks:
      - {name: country_known, rule: country is not null, warn: 0, fail: 0.1}
    load: {table: orders, mode: upsert, key: order_id}
"""

TOPICS = {
    "workflows": f"""\
.colony/workflows/NAME.yaml is a workflow: its steps, what each waits for, and when it runs by itself.

{WORKFLOW}
colony workflow validate sizes && colony workflow run sizes && colony workflow status --json | jq .steps

of a workflow
  name, description, steps, error_handling
  trigger         cron, timezone; missed (skip, latest, all) and window: the times when the machine was off
  input           a JSON Schema of --input JSON; {{{{input.KEY}}}} refers to it
  concurrency     how many runs at once (1)      max_parallel   how many steps of a run at once (16)
  budget          what its agents may use: usd, tokens, tool_calls, turns, time
  executor        where its steps are done: a cluster among 'executors:' of colony.yml, else this machine
of a step
  name            unique; steps after it say {{{{steps.NAME.output.KEY}}}} or {{{{steps.NAME.status}}}}
  run             a shell command; or instructions, for an agent of colony.yml (agent), within limits
  depends_on      [names] of steps that come first; without it the step starts at once
  when            a condition: == != < <= > >= in, not in, and, or, not; else the step is skipped
  for_each        a list, a batch for each {{{{item}}}}; parallel: how many at once, or so many times {{{{batch_id}}}}
  output          a short name for its output: {{{{NAME.KEY}}}}
  output_schema   a JSON Schema that the output must meet       expect   files: [paths] that it must write
  retry           max_attempts, backoff (fixed, linear, exponential), delay, max_delay
  timeout         500ms, 30s, 10m, 2h, 1d        on_failure     continue: what depends on it runs all the same
  env             variables; $VAR is taken from the environment when the step runs
  cache           inputs: [globs]; not done again while these and all that the step says are as they were
  approval        wait for 'colony workflow approve'       idempotent   false: never start it twice by itself
  executor        where this step is done      resources   of the worker there: cpus, memory, tags: [names]
of error_handling: step (its name), run, or agent and instructions; {{{{failure.step}}}}, {{{{failure.error}}}}
also {{{{date}}}}, {{{{yesterday}}}}, {{{{run.id}}}}, {{{{workflow.name}}}}; all: .colony/schemas/workflow.schema.json
""",
    "pipelines": f"""\
pipeline.yml, in the colony's folder, says where data comes from, what is made of it, and where it is loaded.

{PIPELINE}
colony fetch && colony transform && colony validate-data && colony load && colony report
Each takes --date D, else today; {{{{date}}}}, {{{{yesterday}}}}, {{{{since}}}} stand in paths, params and queries.

of the file      sources, datasets, warehouse, views (NAME: select), post_load (name, sql that is true),
                 alerts (FIGURE: "< 0.95"), folders, schema_policy (evolve, freeze, discard), name,
                 description, version, staging (s3://BUCKET/PREFIX, for machines without a shared disk)
of a source      type: file (path, format, delimiter, encoding, optional), s3 (url, format, only_new,
                 endpoint, region), sql (url, query), rest (url, params, headers, auth, records, pagination,
                 rate_limit, retry, timeout, circuit_breaker, conditional, max_pages); of all: key,
                 incremental, max_bytes, max_field, schema_policy; $VAR is taken from the environment
of a dataset     source, or from (another dataset) with aggregate (by, measures, where); schema, fields_from,
                 transform, checks, thresholds, required, schema_policy, load
of a schema      fields (name, type, format, constraints), primaryKey, foreignKeys, missingValues; the types:
                 string number integer boolean date time datetime year yearmonth duration object array list…
of transform     type: rename fill_nulls drop_nulls range outliers derive enrich filter drop_columns select,
                 and those that are always done: names nulls types dates duplicates constraints
of a check       name, rule (an expression such as amount > 0 and country == "DE"), and the share of rows
                 that may break it: warn, fail
of thresholds    completeness, duplicates, error_rate, referential_integrity, anomaly, freshness, record_count
of load          table, key, mode (append, upsert, upsert-delete, replace, scd2), watermark
of a warehouse   duckdb:///PATH, sqlite:///PATH, postgresql://USER@HOST/DATABASE

As the command of a step a tool's output is what --json prints: {{{{steps.check.output.status}}}} is PASS or WARN.
A whole one that works: colony init --example data-pipeline DIR. All keys: schemas/pipeline.schema.json
""",
}
