//! axe-core: what of a page somebody could not use. It is data to the tests, put below `target` by `scripts/test`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::chromium::Browser;

/// With axe-core's own tags for WCAG 2.2 AA, and its best practices.
pub(crate) async fn violations(browser: &Browser) -> Vec<String> {
    let axe = target().join("axe/node_modules/axe-core/axe.min.js");
    let axe = fs::read_to_string(&axe).unwrap_or_else(|error| {
        panic!("this test needs axe-core: npm install --prefix target/axe axe-core@4.14.1 ({}: {error})", axe.display())
    });
    browser.script(&axe).await;
    let found = browser
        .script(
            "const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
            const found = await axe.run(document, { runOnly: tags, rules: { 'target-size': { enabled: true } } });
            const where = (one) => one.nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | ');
            return [found.passes.length, found.violations.map((one) => one.id + ': ' + where(one))]",
        )
        .await;
    assert!(found[0].as_u64() > Some(10), "axe has looked: {found}");
    let lines = found[1].as_array().expect("a list").iter();
    lines.map(|line| line.as_str().expect("a text").to_owned()).collect()
}

/// `target`, above the `debug/deps` in which the test itself is.
pub(crate) fn target() -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    test.ancestors().nth(3).map(Path::to_owned).expect("a directory")
}
