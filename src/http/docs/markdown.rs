//! The Markdown that the pages of `docs/errors/` and the descriptions in the OpenAPI document are written in: headings,
//! paragraphs, lists, fenced code, `code`, **strong** and links. Nothing else, and no HTML.

use super::html::escaped;

const OPENING: [&str; 4] = ["<h1>", "<h2>", "<h3>", "<h4>"];
const CLOSING: [&str; 4] = ["</h1>\n", "</h2>\n", "</h3>\n", "</h4>\n"];

/// Renders a document.
pub(super) fn to_html(markdown: &str) -> String {
    let mut html = String::new();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            html.extend(["<pre><code>", &escaped(&code.join("\n")), "</code></pre>\n"]);
        } else if let Some((level, text)) = heading(line) {
            html.extend([OPENING[level - 1], &inline(text), CLOSING[level - 1]]);
        } else if let Some(first) = line.strip_prefix("- ") {
            let mut items = vec![first.to_owned()];
            while let Some(next) = lines.next_if(|next| next.starts_with("- ") || next.starts_with("  ")) {
                match (next.strip_prefix("- "), items.last_mut()) {
                    (None, Some(last)) => *last = format!("{last} {}", next.trim()),
                    (item, _) => items.extend(item.map(str::to_owned)),
                }
            }
            html.push_str("<ul>\n");
            for item in &items {
                html.extend(["<li>", &inline(item), "</li>\n"]);
            }
            html.push_str("</ul>\n");
        } else {
            let mut paragraph = line.to_owned();
            while let Some(next) = lines.next_if(|next| continues_paragraph(next)) {
                paragraph.push(' ');
                paragraph.push_str(next);
            }
            html.extend(["<p>", &inline(&paragraph), "</p>\n"]);
        }
    }
    html
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|b| *b == b'#').count();
    let text = line.get(level..)?.strip_prefix(' ')?;
    (1..=OPENING.len()).contains(&level).then_some((level, text))
}

fn continues_paragraph(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with("```") && !line.starts_with("- ") && heading(line).is_none()
}

/// Renders what stands within a line.
fn inline(text: &str) -> String {
    let mut html = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '[', '*']) {
        html.push_str(&escaped(&rest[..at]));
        rest = &rest[at..];
        let (rendered, length) = span(rest).unwrap_or_else(|| (escaped(&rest[..1]), 1));
        html.push_str(&rendered);
        rest = &rest[length..];
    }
    html.push_str(&escaped(rest));
    html
}

/// The marked-up span that `text` starts with, and its length.
fn span(text: &str) -> Option<(String, usize)> {
    if let Some(rest) = text.strip_prefix('`') {
        let end = rest.find('`')?;
        return Some((format!("<code>{}</code>", escaped(&rest[..end])), end + 2));
    }
    if let Some(rest) = text.strip_prefix("**") {
        let end = rest.find("**")?;
        return Some((format!("<strong>{}</strong>", inline(&rest[..end])), end + 4));
    }
    let (label, rest) = text.strip_prefix('[')?.split_once("](")?;
    let target = &rest[..rest.find(')')?];
    let plain = target.starts_with('/') || target.starts_with("https://") || target.starts_with('#');
    let length = label.len() + target.len() + 4;
    plain.then(|| (format!("<a href=\"{}\">{}</a>", escaped(target), inline(label)), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subset_renders() {
        let html = to_html(
            "# A `b` <c>\n\ntwo\nlines, **strong** and [`x`](/docs/x)\n\n- one\n  more\n- two\n```json\n{\"a\": \"<\"}\n```\nend",
        );
        assert_eq!(
            html,
            "<h1>A <code>b</code> &lt;c&gt;</h1>\n<p>two lines, <strong>strong</strong> and <a href=\"/docs/x\"><code>x</code></a></p>\n\
             <ul>\n<li>one more</li>\n<li>two</li>\n</ul>\n<pre><code>{&quot;a&quot;: &quot;&lt;&quot;}</code></pre>\n<p>end</p>\n"
        );
    }

    #[test]
    fn what_is_not_of_the_subset_is_text() {
        for (text, html) in [
            ("a ` b [c] *d* **e", "a ` b [c] *d* **e"),
            ("[x](javascript:alert)", "[x](javascript:alert)"),
            ("<script>", "&lt;script&gt;"),
        ] {
            assert_eq!(to_html(text), format!("<p>{html}</p>\n"));
        }
    }
}
