//! The OpenAPI document as a page: every operation with its parameters, body and answers, then every schema.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::html::{Page, escaped};
use super::markdown::to_html;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
const OTHER: &str = "Other";

/// Renders the document.
pub(super) fn page(document: &Value) -> String {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mut body = format!("<h1>{}</h1>\n{}", escaped(text("/info/title")), to_html(text("/info/description")));
    let operations = operations(document);
    for (tag, description) in tags(document, &operations) {
        let tagged = operations.iter().filter(|operation| operation.tag == tag);
        body.extend(["<h2>", &escaped(tag), "</h2>\n", &to_html(description)]);
        body.extend(tagged.map(Operation::html));
    }
    body.push_str(&schemas(document));
    Page { title: "Reference", body: &body }.to_string()
}

/// The tags that operations have: the declared ones in their order, then any other.
fn tags<'a>(document: &'a Value, operations: &[Operation<'a>]) -> Vec<(&'a str, &'a str)> {
    let declared = document["tags"].as_array().map_or(&[][..], Vec::as_slice).iter();
    let mut tags: Vec<(&str, &str)> = declared
        .filter_map(|tag| Some((tag["name"].as_str()?, tag["description"].as_str().unwrap_or_default())))
        .collect();
    tags.retain(|(name, _)| operations.iter().any(|operation| operation.tag == *name));
    for operation in operations {
        if !tags.iter().any(|(name, _)| *name == operation.tag) {
            tags.push((operation.tag, ""));
        }
    }
    tags
}

struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    tag: &'a str,
    described: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let Some(paths) = document["paths"].as_object() else { return Vec::new() };
    paths
        .iter()
        .flat_map(|(path, item)| {
            METHODS.into_iter().filter_map(move |method| {
                let described = item.get(method)?;
                let tag = described.pointer("/tags/0").and_then(Value::as_str).unwrap_or(OTHER);
                Some(Operation { method, path, tag, described })
            })
        })
        .collect()
}

impl Operation<'_> {
    fn html(&self) -> String {
        let summary = self.described["summary"].as_str().unwrap_or_default();
        let description = self.described["description"].as_str().unwrap_or_default();
        let mut html = format!(
            "<section>\n<h3><span class=\"method\">{}</span> <code>{}</code></h3>\n<p><strong>{}</strong></p>\n{}",
            self.method.to_ascii_uppercase(),
            escaped(self.path),
            escaped(summary.trim_end_matches('.')),
            to_html(description.strip_prefix(summary).unwrap_or(description))
        );
        html.push_str(&self.parameters());
        if let Some(content) = self.described.pointer("/requestBody/content").and_then(Value::as_object) {
            html.extend(["<h4>Body</h4>\n<p>", &contents(content), "</p>\n"]);
        }
        html.push_str(&self.responses());
        html.push_str("</section>\n");
        html
    }

    fn parameters(&self) -> String {
        let Some(parameters) = self.described["parameters"].as_array().filter(|all| !all.is_empty()) else {
            return String::new();
        };
        let mut rows = String::new();
        for parameter in parameters {
            let text = |member: &str| escaped(parameter[member].as_str().unwrap_or_default());
            let needed = if parameter["required"] == true { "required" } else { "" };
            let description = to_html(parameter["description"].as_str().unwrap_or_default());
            let _ = writeln!(
                rows,
                "<tr><td><code>{}</code></td><td>{}</td><td>{needed}</td><td>{}</td><td>{description}</td></tr>",
                text("name"),
                text("in"),
                kind(&parameter["schema"])
            );
        }
        format!(
            "<h4>Parameters</h4>\n<table><thead><tr><th>Name</th><th>In</th><th></th><th>Type</th><th></th></tr></thead>\
             <tbody>\n{rows}</tbody></table>\n"
        )
    }

    fn responses(&self) -> String {
        let mut rows = String::new();
        for (status, response) in self.described["responses"].as_object().into_iter().flatten() {
            let description = to_html(response["description"].as_str().unwrap_or_default());
            let content = response["content"].as_object().map(contents).unwrap_or_default();
            let _ = writeln!(rows, "<tr><td>{}</td><td>{description}</td><td>{content}</td></tr>", escaped(status));
        }
        format!(
            "<h4>Answers</h4>\n<table><thead><tr><th>Status</th><th>Meaning</th><th>Body</th></tr></thead><tbody>\n{rows}\
             </tbody></table>\n"
        )
    }
}

fn contents(content: &Map<String, Value>) -> String {
    let one = |(media_type, content): (&String, &Value)| {
        format!("{} <small>{}</small>", kind(&content["schema"]), escaped(media_type))
    };
    content.iter().map(one).collect::<Vec<_>>().join("<br>")
}

/// A schema in a word or two, with a link where it has a name.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let name = escaped(name);
        return format!("<a href=\"#schema-{name}\"><code>{name}</code></a>");
    }
    if schema["type"] == "array" {
        return format!("list of {}", kind(&schema["items"]));
    }
    if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    };
    let format =
        schema["format"].as_str().map_or_else(String::new, |format| format!(" <small>{}</small>", escaped(format)));
    let choices = schema["enum"].as_array().map_or_else(String::new, |choices| {
        let names: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        format!(": <code>{}</code>", escaped(&names.join(" | ")))
    });
    format!("{}{format}{choices}", escaped(&kind))
}

fn schemas(document: &Value) -> String {
    let Some(schemas) = document.pointer("/components/schemas").and_then(Value::as_object) else {
        return String::new();
    };
    let mut html = "<h2>Schemas</h2>\n".to_owned();
    for (name, schema) in schemas {
        let name = escaped(name);
        let description = to_html(schema["description"].as_str().unwrap_or_default());
        let _ = writeln!(html, "<section id=\"schema-{name}\">\n<h3><code>{name}</code></h3>\n{description}");
        let Some(properties) = schema["properties"].as_object() else {
            let _ = writeln!(html, "<p>{}</p>\n</section>", kind(schema));
            continue;
        };
        let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
        html.push_str("<table><thead><tr><th>Member</th><th></th><th>Type</th><th></th></tr></thead><tbody>\n");
        for (member, property) in properties {
            let needed = if required.iter().any(|name| name == member.as_str()) { "always" } else { "" };
            let description = to_html(property["description"].as_str().unwrap_or_default());
            let _ = writeln!(
                html,
                "<tr><td><code>{}</code></td><td>{needed}</td><td>{}</td><td>{description}</td></tr>",
                escaped(member),
                kind(property)
            );
        }
        html.push_str("</tbody></table>\n</section>\n");
    }
    html
}
