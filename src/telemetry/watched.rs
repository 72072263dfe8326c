//! That whatever `ops` watches is there: every metric that the rules and the dashboard name, this service exports by that name.

use std::collections::BTreeMap;

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// Where metrics are registered.
const REGISTERED_IN: [&str; 3] = [
    include_str!("../telemetry.rs"),
    include_str!("../events/metrics.rs"),
    include_str!("../events/consume/metrics.rs"),
];
/// What the text format makes of a histogram.
const OF_A_HISTOGRAM: [&str; 3] = ["_bucket", "_count", "_sum"];

fn is_name(name: &str) -> bool {
    name.starts_with("numbering_") || name.starts_with("num_")
}

/// The names in a text, by what a name may consist of.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|name| is_name(name))
}

/// Every registered name, with its kind where the same line tells it.
fn registered() -> BTreeMap<&'static str, &'static str> {
    let lines = REGISTERED_IN.iter().flat_map(|source| source.lines());
    lines
        .filter_map(|line| {
            let (before, rest) = line.split_once("\"num")?;
            let end = rest.find('"')?;
            let start = before.len() + 1;
            Some((line.get(start..start + 3 + end)?, before))
        })
        .filter(|(name, _)| is_name(name) && names(name).eq([*name]))
        .collect()
}

/// Whether Prometheus knows a metric by this name.
fn is_exported(name: &str, registered: &BTreeMap<&str, &str>) -> bool {
    let is = |name: &str, kind: &str| {
        registered.get(name).is_some_and(|declared| !declared.contains(": ") || declared.contains(kind))
    };
    let counter = name.strip_suffix("_total").is_some_and(|name| is(name, "Counter"));
    let histogram =
        OF_A_HISTOGRAM.iter().filter_map(|suffix| name.strip_suffix(suffix)).any(|name| is(name, "Histogram"));
    counter || histogram || is(name, "Gauge")
}

/// Every expression of the rules.
fn of_rules(yaml: &Yaml, found: &mut Vec<String>) {
    match yaml {
        Yaml::Hash(members) => {
            for (name, member) in members {
                match (name.as_str(), member.as_str()) {
                    (Some("expr"), Some(expression)) => found.push(expression.to_owned()),
                    _ => of_rules(member, found),
                }
            }
        }
        Yaml::Array(items) => items.iter().for_each(|item| of_rules(item, found)),
        Yaml::Real(_)
        | Yaml::Integer(_)
        | Yaml::String(_)
        | Yaml::Boolean(_)
        | Yaml::Alias(_)
        | Yaml::Null
        | Yaml::BadValue => {}
    }
}

#[test]
fn every_metric_that_the_rules_and_the_dashboard_name_is_exported() {
    let registered = registered();
    assert!(registered.len() > 40, "{registered:?}");
    let mut expressions = Vec::new();
    of_rules(&YamlLoader::load_from_str(include_str!("../../ops/prometheus-rules.yaml")).unwrap()[0], &mut expressions);
    let rules = expressions.len();
    let dashboard: Value = serde_json::from_str(include_str!("../../ops/grafana-dashboard.json")).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    expressions.extend(targets.flatten().map(|target| target["expr"].as_str().unwrap().to_owned()));
    assert!(rules > 10 && expressions.len() > rules + 30, "{rules} {}", expressions.len());
    let unknown: Vec<&str> = expressions
        .iter()
        .flat_map(|expression| names(expression))
        .filter(|name| !is_exported(name, &registered))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_name_that_is_not_exported_is_found() {
    let registered = registered();
    for name in ["numbering_outbox", "numbering_http_requests", "numbering_redis_up_total", "numbering_redis_up_bucket"]
    {
        assert!(!is_exported(name, &registered), "{name}");
    }
    for name in ["numbering_http_requests_total", "numbering_redis_up", "numbering_release_lag_seconds_bucket"] {
        assert!(is_exported(name, &registered), "{name}");
    }
}

#[test]
fn the_dashboard_is_one_that_grafana_reads() {
    let dashboard: Value = serde_json::from_str(include_str!("../../ops/grafana-dashboard.json")).unwrap();
    let variable = &dashboard["templating"]["list"][0];
    assert_eq!((&variable["name"], &variable["type"]), (&"datasource".into(), &"datasource".into()));
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids: Vec<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        let place = &panel["gridPos"];
        assert!(place["x"].as_i64().unwrap() + place["w"].as_i64().unwrap() <= 24, "{}", panel["title"]);
        assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{}", panel["title"]);
    }
}
