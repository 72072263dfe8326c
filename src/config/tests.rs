use std::io::Write;

use super::*;

const DEFAULT_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config.default.toml");

/// The settings that have no default.
const REQUIRED: [(&str, &str); 8] = [
    ("NUMBERING_DATABASE__URL", "postgres://numbering_service@127.0.0.1/numbering"),
    ("NUMBERING_REDIS__URL", "redis://127.0.0.1:6379/0"),
    ("NUMBERING_REDIS__TIMERS_URL", "redis://127.0.0.1:6379/1"),
    ("NUMBERING_NATS__URL", "nats://127.0.0.1:4222"),
    ("NUMBERING_AUTH__ISSUER", "https://issuer.example"),
    ("NUMBERING_AUTH__AUDIENCE", "numbering"),
    ("NUMBERING_AUTH__JWKS", "/etc/numbering/jwks.json"),
    ("NUMBERING_SECURITY__CURSOR_KEY", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
];

fn with(more: &[(&str, &str)]) -> Result<Config, ConfigFaults> {
    Config::load(None, REQUIRED.iter().chain(more).copied())
}

fn faults(more: &[(&str, &str)]) -> Vec<String> {
    with(more).unwrap_err().0.into_iter().map(|fault| fault.setting).collect()
}

#[test]
fn the_default_file_parses_to_the_defaults() {
    let from_file = Config::load(Some(Path::new(DEFAULT_FILE)), REQUIRED).unwrap();
    assert_eq!(from_file, with(&[]).unwrap());
    assert_eq!(from_file.policy(), Policy::default());
}

#[test]
fn the_default_file_has_every_setting_and_a_comment_above_it() {
    let mut sources = Sources::gather(None, REQUIRED);
    Config::take(&mut sources);
    let text = std::fs::read_to_string(DEFAULT_FILE).unwrap();
    let mut section = String::new();
    let mut documented = BTreeSet::new();
    let mut previous = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
        }
        let set = line.strip_prefix("#").unwrap_or(line).split_once(" = ").map(|(name, _)| name);
        if let Some(name) = set.filter(|name| !name.contains(' ')) {
            assert!(previous.starts_with("# "), "{section}.{name} has no comment above it");
            documented.insert(format!("{section}.{name}"));
        }
        previous = line;
    }
    let known: BTreeSet<String> = sources.finish().unwrap().into_iter().map(String::from).collect();
    assert_eq!(documented, known);
}

#[test]
fn the_environment_overrides_the_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "[policy]\nreservation_ttl = \"5m\"\nhold_ttl = \"1h\"\n[policy.quarantine]\nalpha = \"1d\"")
        .unwrap();
    let environment = REQUIRED.into_iter().chain([
        ("NUMBERING_POLICY__RESERVATION_TTL", "2s"),
        ("NUMBERING_POLICY__QUARANTINE__MSISDN", "10s"),
        ("NUMBERING_NUMBERING_PLAN__NEVER_LEASABLE", "112, 911"),
        ("NUMBERING_AUTH__ALGORITHMS", "ES256"),
        ("NUMBERING_POLICY__SHORT_TERMS", "true"),
        ("NUMBERING_DATABASE__POOL_SIZE", "4"),
    ]);
    let config = Config::load(Some(file.path()), environment).unwrap();
    assert_eq!(config.policy.reservation_ttl, Period::from_secs(2));
    assert_eq!(config.policy.hold_ttl, Period::from_hours(1));
    assert_eq!(config.quarantine.alpha, Period::from_days(1));
    assert_eq!(config.quarantine.msisdn, Period::from_secs(10));
    assert_eq!(config.numbering_plan.never_leasable, BTreeSet::from(["112", "911"].map(String::from)));
    assert_eq!(config.auth.algorithms, [TokenAlgorithm::Es256]);
    assert!(config.policy.short_terms);
    assert_eq!(config.database.pool_size, 4);
}

#[test]
fn every_fault_is_listed_at_once() {
    let listed = faults(&[
        ("NUMBERING_HTTP__LISTEN", "8080"),
        ("NUMBERING_POLICY__HOLD_TTL", "soon"),
        ("NUMBERING_POLICY__RESERVATION_TTL", "0s"),
        ("NUMBERING_POLICY__SHORT_TERMS", "yes"),
        ("NUMBERING_AUTH__LEEWAY", "31s"),
        ("NUMBERING_AUTH__ALGORITHMS", "EdDSA,HS256"),
        ("NUMBERING_GRPC__TLS_CERT", "/cert.pem"),
        ("NUMBERING_SECURITY__CURSOR_KEY", "00"),
        ("NUMBERING_POLICY__HOLD_TIL", "1s"),
        ("NUMBERING_DATABASE__URL", "mysql://nowhere"),
        ("NUMBERING_REDIS__TIMERS_URL", "redis://127.0.0.1:6379/0"),
    ]);
    let expected = [
        "http.listen",
        "auth.algorithms",
        "security.cursor_key",
        "policy.hold_ttl",
        "policy.short_terms",
        "policy.reservation_ttl",
        "database.url",
        "redis.timers_url",
        "auth.leeway",
        "grpc.tls_cert",
        "policy.hold_til",
    ];
    assert_eq!(listed, expected);
}

#[test]
fn what_is_required_is_asked_for_by_both_its_names() {
    let faults = Config::load(None, [("PATH", "/bin")]).unwrap_err();
    assert_eq!(faults.0.len(), REQUIRED.len());
    let shown = faults.to_string();
    for (variable, _) in REQUIRED {
        assert!(shown.contains(variable), "{shown}");
    }
    assert!(shown.contains("\n  database.url: must be set"), "{shown}");
}

#[test]
fn unknown_settings_are_refused_with_a_hint() {
    let fault = with(&[("NUMBERING_POLICY__HOLD_TIL", "1s")]).unwrap_err().to_string();
    assert!(fault.contains("policy.hold_til: is no setting; hint: did you mean policy.hold_ttl?"), "{fault}");
    let fault = with(&[("NUMBERING_POLICY_HOLD_TTL", "1s")]).unwrap_err().to_string();
    assert!(fault.contains("hint: write NUMBERING_POLICY__HOLD_TTL"), "{fault}");
    assert!(with(&[("NUMBERING_SERVICE_HOST", "10.0.0.1"), ("NUMBERING_DATABASE_URL", "x")]).is_ok());

    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "colour = \"red\"\n[http]\n[htpp]\n[cache]\nsnapshot_ttl = 60\nsize = {{ max = 1 }}").unwrap();
    let faults = Config::load(Some(file.path()), REQUIRED).unwrap_err().to_string();
    for wrong in [
        "colour: is no setting",
        "htpp: is no setting",
        "cache.size.max: is no setting",
        "cache.snapshot_ttl: must be a text",
    ] {
        assert!(faults.contains(wrong), "{faults}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault_among_the_others() {
    let faults = Config::load(Some(Path::new("/nonexistent/numbering.toml")), [("A", "b")]).unwrap_err();
    assert_eq!(faults.0[0].setting, "/nonexistent/numbering.toml");
    assert_eq!(faults.0.len(), REQUIRED.len() + 1);
}

#[test]
fn secrets_are_not_in_the_debug_form() {
    let config = with(&[("NUMBERING_DATABASE__URL", "postgres://n:s3cret@db/n")]).unwrap();
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("CursorKey([") && shown.contains("postgres://n@db/n"),
        "{shown}"
    );
}
