//! The frame of a page, and the escaping that everything in it goes through.

use std::fmt;

/// A page: its title as text, its body as HTML.
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) body: &'a str,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{} · Numbering</title>\n\
             <link rel=\"stylesheet\" href=\"/docs/style.css\">\n</head>\n<body>\n\
             <nav><a href=\"/docs\">Reference</a> <a href=\"/docs/errors\">Problem codes</a> \
             <a href=\"/openapi.json\">OpenAPI document</a></nav>\n<main>\n{}\n</main>\n</body>\n</html>\n",
            escaped(self.title),
            self.body
        )
    }
}

/// Text as it may stand in HTML, in attributes too.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}
