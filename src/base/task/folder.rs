//! Which files of an input folder count: one rule for keys and readers.

/// Whether a file or folder with this name is ignored in input folders: hidden files, Python's bytecode, editors' backup
/// files. Ignored files are not part of keys, so no reader may read them.
pub fn is_ignored(name: &str) -> bool {
    let suffixed = |suffix: &str| name.len() > suffix.len() && name.ends_with(suffix);
    name.starts_with('.')
        || name == "__pycache__"
        || [".pyc", ".pyo", "~"].into_iter().any(suffixed)
        || (name.len() > 2 && name.starts_with('#') && name.ends_with('#'))
}

#[cfg(test)]
mod tests {
    use super::is_ignored;

    #[test]
    fn what_tools_leave_does_not_count() {
        for name in
            [".git", ".DS_Store", ".tool.py.swp", "__pycache__", "util.cpython-312.pyc", "a.py~", "#a.py#"]
        {
            assert!(is_ignored(name), "{name}");
        }
        for name in ["tool.py", "a.pyc.txt", "pyc", "#1", "#", "##", "~", "__init__.py", "x.bak", "a~b"] {
            assert!(!is_ignored(name), "{name}");
        }
    }
}
