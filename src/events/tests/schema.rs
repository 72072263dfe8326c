//! Enough of `JSON Schema` to hold an event against the `AsyncAPI` document, and stricter in one thing: a member that the
//! document does not name is a fault. A keyword that is not understood here is one too.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use uuid::Uuid;
use yaml_rust2::{Yaml, YamlLoader};

/// The keywords that say something to people only, or that `gather` has dealt with.
const SILENT: [&str; 4] = ["description", "allOf", "$ref", "properties"];

/// `docs/events/asyncapi.yaml`.
pub(super) struct Document {
    root: Value,
}

impl Document {
    pub(super) fn read() -> Self {
        let text = include_str!("../../../docs/events/asyncapi.yaml");
        let documents = YamlLoader::load_from_str(text).unwrap();
        let [document] = documents.as_slice() else { panic!("one document in the file") };
        Self { root: json(document) }
    }

    /// The addresses of its channels.
    pub(super) fn addresses(&self) -> BTreeSet<&str> {
        self.entries("/channels").values().map(|channel| channel["address"].as_str().unwrap()).collect()
    }

    /// The address of each operation with this action.
    pub(super) fn operations(&self, action: &str) -> Vec<&str> {
        let operations = self.entries("/operations").values().filter(|operation| operation["action"] == action);
        operations.map(|operation| self.resolve(&operation["channel"])["address"].as_str().unwrap()).collect()
    }

    /// What is wrong with an event on this address.
    pub(super) fn faults(&self, address: &str, event: &Value) -> Vec<String> {
        let channels = self.entries("/channels");
        let Some(channel) = channels.values().find(|channel| channel["address"] == address) else {
            return vec![format!("no channel {address}")];
        };
        let messages = channel["messages"].as_object().unwrap();
        assert_eq!(messages.len(), 1);
        let message = messages.values().map(|message| self.resolve(message)).next().unwrap();
        assert_eq!(message["name"], address);
        let mut faults = Vec::new();
        self.check(&[&message["payload"]], event, "", &mut faults);
        faults
    }

    fn entries(&self, pointer: &str) -> &Map<String, Value> {
        self.root.pointer(pointer).unwrap().as_object().unwrap()
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref") {
            Some(reference) => self.resolve(self.root.pointer(&reference.as_str().unwrap()[1..]).unwrap()),
            None => value,
        }
    }

    /// All schemas that hold where this one does.
    fn gather<'a>(&'a self, schema: &'a Value, gathered: &mut Vec<&'a Value>) {
        gathered.push(schema);
        if schema.get("$ref").is_some() {
            self.gather(self.resolve(schema), gathered);
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.gather(part, gathered);
        }
    }

    fn check(&self, schemas: &[&Value], value: &Value, place: &str, faults: &mut Vec<String>) {
        let mut gathered = Vec::new();
        for schema in schemas {
            self.gather(schema, &mut gathered);
        }
        for schema in &gathered {
            for (keyword, argument) in schema.as_object().unwrap() {
                if !holds(keyword, argument, value) {
                    faults.push(format!("{place}: {keyword} {argument}"));
                }
            }
        }
        let items: Vec<&Value> = gathered.iter().filter_map(|schema| schema.get("items")).collect();
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&items, item, &format!("{place}/{index}"), faults);
        }
        for (name, member) in value.as_object().into_iter().flatten() {
            let place = format!("{place}/{name}");
            let known: Vec<&Value> = gathered.iter().filter_map(|schema| schema.get("properties")?.get(name)).collect();
            if known.is_empty() {
                faults.push(format!("{place}: not in the document"));
            } else {
                self.check(&known, member, &place, faults);
            }
        }
    }
}

fn holds(keyword: &str, argument: &Value, value: &Value) -> bool {
    match keyword {
        "type" => match argument {
            Value::Array(types) => types.iter().any(|one| is_of_type(one, value)),
            one => is_of_type(one, value),
        },
        "const" => value == argument,
        "enum" => argument.as_array().unwrap().contains(value),
        "minimum" => value.as_i64().is_none_or(|number| number >= argument.as_i64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= argument.as_f64().unwrap()),
        "required" => argument.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
        "items" => value.is_array(),
        "format" => value.as_str().is_some_and(|text| has_format(argument.as_str().unwrap(), text)),
        other => SILENT.contains(&other),
    }
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn has_format(name: &str, text: &str) -> bool {
    match name {
        "uuid" => Uuid::parse_str(text).is_ok_and(|id| id.to_string() == text),
        "date-time" => {
            let at: Result<jiff::Timestamp, _> = text.parse();
            at.is_ok_and(|at| format!("{at:.6}") == text)
        }
        _ => false,
    }
}

fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::String(text) => text.as_str().into(),
        Yaml::Integer(number) => (*number).into(),
        Yaml::Boolean(truth) => (*truth).into(),
        Yaml::Null => Value::Null,
        Yaml::Array(items) => items.iter().map(json).collect(),
        Yaml::Hash(members) => {
            members.iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), json(value))).collect()
        }
        Yaml::Real(_) | Yaml::Alias(_) | Yaml::BadValue => panic!("{yaml:?} has no place in the document"),
    }
}
