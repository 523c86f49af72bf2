//! Rows of CSV files (RFC 4180, with the line ends of Unix).

/// One row, with its line end. Fields that need quotation marks get them.
pub(crate) fn row<F: AsRef<str>>(fields: impl IntoIterator<Item = F>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|field| quoted(field.as_ref())).collect();
    fields.join(",") + "\n"
}

fn quoted(field: &str) -> String {
    match field.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::row;

    #[test]
    fn fields_keep_their_bounds() {
        assert_eq!(row(["a b", "", "1.5"]), "a b,,1.5\n");
        assert_eq!(
            row(["dog, small", "5\" disk", "two\nlines"]),
            "\"dog, small\",\"5\"\" disk\",\"two\nlines\"\n"
        );
    }
}
