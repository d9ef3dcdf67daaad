"""The pictures of what stands behind the lines: Kafka, history, models, people, the console."""

from typing import Final

from andon.reference.panels import Panel, plain_quantile

PLANT_PANELS: Final = (
    Panel(
        "Behind on Kafka",
        "short",
        "Messages that a role was not given yet. What rises is slower than its topic.",
        (("sum by (role, topic) (andon_consumer_lag_messages)", "{{role}} {{topic}}"),),
    ),
    Panel(
        "How long lines wait for a role",
        "s",
        "From sending to taking, of each line's newest message. One line's alone rises where it "
        "comes faster than its partition is read; that of all where a role is too slow.",
        (("max by (role, line) (andon_line_wait_seconds)", "{{role}} {{line}}"),),
    ),
    Panel(
        "Decision to row",
        "s",
        "How far the history is behind the lines: half of the decisions, and 95 of a hundred.",
        tuple(
            (plain_quantile(q, "andon_record_delay_seconds", "line"), f"p{q * 100:g} {{{{line}}}}")
            for q in (0.5, 0.95)
        ),
    ),
    Panel(
        "Anomaly score over threshold",
        "short",
        "Above 1 a part is odd. A middle that moves says that the pictures changed.",
        tuple(
            (
                plain_quantile(q, "andon_anomaly_score_ratio", "product"),
                f"p{q * 100:g} {{{{product}}}}",
            )
            for q in (0.5, 0.95)
        ),
    ),
    Panel(
        "What has no name",
        "percentunit",
        "Share of the classifier's answers that are `unknown`.",
        (
            (
                '(sum by (product) (rate(andon_classifications_total{answer="unknown"}[5m])) '
                "or 0 * sum by (product) (rate(andon_classifications_total[5m]))) "
                "/ sum by (product) (rate(andon_classifications_total[5m]))",
                "{{product}}",
            ),
        ),
    ),
    Panel(
        "Tokens each second",
        "short",
        "What language models read (`in`) and write (`out`).",
        (
            (
                "sum by (model, direction) (rate(andon_llm_tokens_total[5m]))",
                "{{model}} {{direction}}",
            ),
        ),
    ),
    Panel(
        "Cost of language models each hour",
        "short",
        "In the currency of the endpoints' price lists; of calls without an answer by endpoint.",
        (
            (
                "sum by (model, product) (rate(andon_llm_cost_total[5m])) * 3600",
                "{{model}} {{product}}",
            ),
            (
                "sum by (endpoint) "
                '(rate(andon_serve_llm_cost_total{result="unanswered"}[5m])) * 3600',
                "{{endpoint}} unanswered",
            ),
        ),
    ),
    Panel(
        "Waiting for a person",
        "short",
        "Parts in the review queue by the reason, at most 1000 of each.",
        (("max by (waits_for) (andon_review_waiting_parts)", "{{waits_for}}"),),
    ),
    Panel(
        "Longest wait for a person",
        "s",
        "Since when the oldest part of each reason waits.",
        (("max by (waits_for) (andon_review_oldest_seconds)", "{{waits_for}}"),),
    ),
    Panel(
        "Models in force",
        "short",
        "The version by which each role inspected a product last.",
        (
            (
                "count by (role, product, version) (andon_model_info)",
                "{{role}} {{product}} {{version}}",
            ),
        ),
        "table",
    ),
    Panel(
        "Policies in force",
        "short",
        "Processes that judge a product by the policy of this hash; gateways beside workers.",
        (
            (
                "count by (product, hash) (andon_policy_info)",
                "workers {{product}} {{hash}}",
            ),
            (
                "count by (product, hash) (andon_gateway_policy_info)",
                "gateways {{product}} {{hash}}",
            ),
        ),
        "table",
    ),
    Panel(
        "Spool, share of its limit",
        "percentunit",
        "At nine tenths no part is taken.",
        (
            (
                "sum by (line, station) (andon_gateway_spooled_bytes) "
                "/ sum by (line, station) (andon_gateway_spool_limit_bytes)",
                "{{line}}/{{station}}",
            ),
        ),
    ),
    Panel(
        "Replicas",
        "short",
        "Those that answer, and those that there should be.",
        (
            ("max by (deployment) (andon_serve_replicas)", "{{deployment}}"),
            ("max by (deployment) (andon_serve_replicas_expected)", "{{deployment}} expected"),
        ),
    ),
    Panel(
        "Versions that replicas serve",
        "short",
        "Replicas by version of a product, with a problem, and by build of Andon.",
        (
            (
                "max by (deployment, product, version) (andon_serve_model_info)",
                "{{deployment}} {{product}} {{version}}",
            ),
            (
                "max by (deployment, product) (andon_serve_problems)",
                "problems {{deployment}} {{product}}",
            ),
            ("max by (deployment, build) (andon_serve_build_info)", "{{deployment}} {{build}}"),
        ),
        "table",
    ),
    Panel(
        "Answers of the replicas",
        "ops",
        "Scored and failed, of each replica; and the pictures in its queue.",
        (
            (
                "sum by (deployment, replica, result) (rate(andon_serve_answers_total[5m]))",
                "{{deployment}} {{replica}} {{result}}",
            ),
            ("andon_serve_waiting_items", "waiting {{deployment}} {{replica}}"),
        ),
    ),
    Panel(
        "Processor time of the replicas",
        "short",
        "Cores that each replica uses.",
        (
            (
                "sum by (deployment, replica) (rate(andon_serve_cpu_seconds_total[5m]))",
                "{{deployment}} {{replica}}",
            ),
        ),
    ),
    Panel(
        "Memory of the replicas",
        "bytes",
        "Rises with the products that a replica holds.",
        (("andon_serve_resident_bytes", "{{deployment}} {{replica}}"),),
    ),
    Panel(
        "What the console sees",
        "short",
        "0: `andon doctor` with the name says why.",
        (("min by (check) (andon_console_sees)", "{{check}}"),),
    ),
    Panel(
        "Answers of the console",
        "ops",
        "By status, and the requests that are open: live pages among them.",
        (
            ("sum by (status) (rate(andon_console_requests_total[5m]))", "{{status}}"),
            ("sum (andon_console_open_requests)", "open"),
        ),
    ),
    Panel(
        "Time of the console's answers, p95",
        "s",
        "Request to the beginning of its answer, by the slowest routes.",
        (
            (
                "topk(10, " + plain_quantile(0.95, "andon_console_response_seconds", "route") + ")",
                "{{route}}",
            ),
        ),
    ),
    Panel(
        "Clocks",
        "s",
        "By how much a worker's host is ahead of a gateway's.",
        (("max by (role, station) (andon_clock_skew_seconds)", "{{role}} {{station}}"),),
    ),
)
"""Of the plant."""
