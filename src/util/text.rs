//! Text for errors.

/// The number of items that a list in an error names.
const NAMED: usize = 5;

/// The first items, and the number of the remaining ones: `a, b, c, d, e and 2 more`.
pub(crate) fn list_first(items: &[String]) -> String {
    let text = items[..items.len().min(NAMED)].join(", ");
    match items.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::list_first;

    #[test]
    fn a_long_list_names_the_first_items_and_counts_the_rest() {
        let items: Vec<String> = (0..7).map(|number| number.to_string()).collect();
        assert_eq!(list_first(&items), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(list_first(&items[..5]), "0, 1, 2, 3, 4");
        assert_eq!(list_first(&items[..1]), "0");
    }
}
