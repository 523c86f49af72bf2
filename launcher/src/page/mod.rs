//! Pages: an HTML file that needs nothing else, neither files nor a network, and the charts on it.
//!
//! A page's policy (`Content-Security-Policy`) forbids everything but its own style, its own script and
//! pictures inside it, so that no name in a log can make a browser do anything. Without the script all is
//! there but the values under a pointer.

pub(crate) mod bars;
pub(crate) mod chart;
pub(crate) mod format;
pub(crate) mod scale;
pub(crate) mod series;

use base64ct::{Base64, Encoding};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("charts.js");
/// Colours of the style sheet, which repeat where there are more lines.
const COLOURS: usize = 8;

/// A page.
pub(crate) struct Page {
    /// What wrote it, over the title.
    pub(crate) program: &'static str,
    pub(crate) title: String,
    /// Below the title.
    pub(crate) subtitle: Markup,
    /// Before the sections.
    pub(crate) notes: Markup,
    pub(crate) sections: Vec<Section>,
    /// Rules of the page's own, behind those of all pages.
    pub(crate) style: String,
}

/// A part of a page.
pub(crate) struct Section {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) content: Markup,
}

impl Page {
    /// The text of the file.
    pub(crate) fn html(&self) -> String {
        let policy = format!(
            "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline'; \
             script-src 'sha256-{}'",
            Base64::encode_string(&Sha256::digest(SCRIPT))
        );
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content=(concat!("isograd ", env!("CARGO_PKG_VERSION")));
                    title { (self.title) " – isograd" }
                    style { (PreEscaped(STYLE)) (PreEscaped(&self.style)) }
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    header {
                        p.program { (self.program) }
                        h1 { (self.title) }
                        (self.subtitle)
                        nav aria-label="Sections" {
                            @for section in &self.sections { a href={ "#" (section.id) } { (section.title) } }
                        }
                    }
                    main id="content" {
                        (self.notes)
                        @for section in &self.sections {
                            section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                                h2 id={ (section.id) "-title" } { (section.title) }
                                (section.content)
                            }
                        }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        page.into_string()
    }
}

/// Rules that give the classes `r0`, `r1`, … their colours.
pub(crate) fn colours(classes: usize) -> String {
    (0..classes).fold(String::new(), |mut text, class| {
        let _ = write!(text, ".r{class}{{--c:var(--c{})}}", class % COLOURS);
        text
    })
}
