//! HTML and SVG built by functions that escape all text and attribute values.

/// A piece of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Html(String);

/// Attributes of an element, by name.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Html {
    /// A piece made by a function.
    pub(super) fn of(make: impl FnOnce(&mut Self)) -> Self {
        let mut html = Self::default();
        make(&mut html);
        html
    }

    /// Adds text.
    pub(super) fn text(&mut self, text: &str) {
        escape(text, &mut self.0);
    }

    /// Adds an element with the content that `inner` adds.
    pub(super) fn tag(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        inner: impl FnOnce(&mut Self),
    ) {
        self.void(name, attributes);
        inner(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// Adds an element that holds a text.
    pub(super) fn leaf(&mut self, name: &'static str, attributes: Attributes<'_>, text: &str) {
        self.tag(name, attributes, |h| h.text(text));
    }

    /// Adds an element that has no end: `<br>`, `<meta>`.
    pub(super) fn void(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(name);
        for (attribute, value) in attributes {
            self.0.push(' ');
            self.0.push_str(attribute);
            self.0.push_str("=\"");
            escape(value, &mut self.0);
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Adds another piece.
    pub(super) fn push(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Adds text with `code` between backquotes, as notes and messages have it.
    pub(super) fn prose(&mut self, text: &str) {
        for (i, piece) in text.split('`').enumerate() {
            match i % 2 {
                0 => self.text(piece),
                _ => self.leaf("code", &[], piece),
            }
        }
    }

    /// Adds a drawing that this program has made.
    pub(super) fn drawing(&mut self, svg: &str) {
        self.0.push_str(svg);
    }

    /// Adds a style sheet or script of ours as raw text; nothing in it can end its element.
    pub(super) fn own(&mut self, name: &'static str, attributes: Attributes<'_>, source: &str) {
        self.void(name, attributes);
        self.0.push_str(&source.replace("</", "<\\/"));
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// Adds JSON for the page's script; no text in it can end the element.
    pub(super) fn data(&mut self, id: &str, json: &serde_json::Value) {
        self.void("script", &[("type", "application/json"), ("id", id)]);
        self.0.push_str(&json.to_string().replace('<', "\\u003c"));
        self.0.push_str("</script>");
    }

    /// The text of it.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in HTML, whatever a collection has in its texts.
            '\n' | '\t' | '\r' => out.push(c),
            c if c.is_control() => out.push('\u{FFFD}'),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_goes_in_is_markup() {
        let evil = "</script><img src=x onerror=\"alert('1')\">&\u{0}";
        let html = Html::of(|h| {
            h.leaf("p", &[("title", evil)], evil);
            h.prose("a `<b>` c");
            h.data("d", &serde_json::json!({ "text": evil }));
        })
        .into_string();
        let safe = "&lt;/script&gt;&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;\u{FFFD}";
        assert!(html.starts_with(&format!("<p title=\"{safe}\">{safe}</p>a <code>&lt;b&gt;</code> c")));
        assert_eq!(html.matches("</script>").count(), 1);
        assert!(!html.contains("<img"));
    }
}
