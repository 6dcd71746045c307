//! Nothing is missing: each mounted route and each problem code of the source is in the document, and the README says the
//! same.

use std::{collections::BTreeSet, fs, path::Path};

use axum::{Router, routing::get};
use axum_device_sessions::routes;

use super::{checker::Checker, everything, operations, world::Staff};

type Routes = BTreeSet<(String, String)>;

/// What a router has, by its own word: axum offers no list, and prints one.
fn routes_of(prefix: &str, router: &Router) -> Routes {
    let printed = format!("{router:?}");
    let (ours, _) = printed.split_once("fallback_router").expect("as axum 0.8 prints it");
    let (methods, paths) = ours.split_once("node: Node").expect("as axum 0.8 prints it");
    let mut found = Routes::new();
    for route in methods.split("RouteId(").skip(1) {
        let (id, rest) = route.split_once(')').unwrap();
        let (_, allowed) = rest.split_once("allow_header: Bytes(b\"").expect("methods");
        let (allowed, _) = allowed.split_once('"').unwrap();
        let (_, path) = paths.split_once(&format!("RouteId({id}): \"")).expect("a path");
        let (path, _) = path.split_once('"').unwrap();
        let path = if path == "/" { prefix.to_owned() } else { format!("{prefix}{path}") };
        // axum answers HEAD where there is GET.
        let methods = allowed.split(',').filter(|method| *method != "HEAD");
        found.extend(methods.map(|method| (method.to_owned(), path.clone())));
    }
    found
}

fn mounted() -> Routes {
    let routers = [
        routes_of("/sessions", &routes::sessions()),
        routes_of("/auth", &routes::auth()),
        routes_of("/alerts", &routes::alerts()),
        routes_of("", &routes::jwks()),
        routes_of("/auth/backchannel-logout", &routes::backchannel_logout()),
        routes_of("/admin/sessions", &routes::admin_routes::<Staff, _>()),
    ];
    routers.into_iter().flatten().collect()
}

fn documented() -> Routes {
    operations(&everything().to_value()).into_iter().map(|(method, path, _)| (method, path)).collect()
}

#[test]
fn every_mounted_route_is_in_it() {
    assert_eq!(mounted(), documented());
    println!("{} routes", mounted().len());
    // The control: one more is noticed.
    let more = routes::sessions().route("/made-up", get(async || {}).patch(async || {}));
    let more = routes_of("/sessions", &more);
    let new: Vec<_> = more.difference(&documented()).cloned().collect();
    let path = "/sessions/made-up".to_owned();
    assert_eq!(new, [("GET".to_owned(), path.clone()), ("PATCH".to_owned(), path)]);
}

/// Functions that make a router, so that a new one is not forgotten above.
#[test]
fn every_router_is_looked_at() {
    let source = fs::read_to_string("src/web/routes/mod.rs").unwrap();
    let made: BTreeSet<_> = source.lines().filter_map(|line| line.strip_prefix("pub fn ")?.split_once('<')).collect();
    // `page` is for people, and no API.
    let names: BTreeSet<_> = made.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        BTreeSet::from(["admin_routes", "alerts", "auth", "backchannel_logout", "jwks", "page", "sessions"])
    );
}

/// The texts of Rust source that could be a problem code.
fn codes_in(source: &str) -> BTreeSet<String> {
    let code = |text: &&str| {
        text.contains('_') && text.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !text.starts_with('_')
    };
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let texts = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    texts.filter(code).map(str::to_owned).collect()
}

fn codes_of(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // The document itself; and pages, which answer people.
        if path.is_dir() && !path.ends_with("openapi") && !path.ends_with("page") {
            found.extend(codes_of(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.extend(codes_in(&fs::read_to_string(path).unwrap()));
        }
    }
    found
}

/// Texts that look like one.
const NO_CODES: [&str; 2] = ["as_number", "user_agent"];

#[test]
fn every_problem_code_is_in_it() {
    let mut source = codes_of(Path::new("src/web"));
    source.retain(|code| !NO_CODES.contains(&code.as_str()));
    let document = everything().to_value();
    let schema = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    let listed: BTreeSet<String> = serde_json::from_value(schema.clone()).unwrap();
    assert_eq!(source, listed);
    // And each is what some answer may have.
    let answered: BTreeSet<_> = Checker::new().documented().iter().filter_map(|one| code_of(one)).collect();
    assert_eq!(answered, listed);
    println!("{} codes", listed.len());
    // The control.
    let made_up = "Problem::new(StatusCode::CONFLICT, \"made_up\", \"no_code of ours\") // \"but_this\" is not";
    assert_eq!(codes_in(made_up), BTreeSet::from(["but_this".to_owned(), "made_up".to_owned()]));
    assert!(!listed.contains("made_up"));
}

/// `GET /sessions 401 missing_token`, `Unauthorized missing_token`.
fn code_of(seen: &str) -> Option<String> {
    let last = seen.rsplit(' ').next()?;
    last.contains('_').then(|| last.to_owned())
}

/// Status and code of each row of the README's tables.
fn readme() -> BTreeSet<(u16, String)> {
    let mut found = BTreeSet::new();
    for row in fs::read_to_string("README.md").unwrap().lines().filter(|line| line.starts_with('|')) {
        let words: Vec<_> = row.split(|c: char| " |,:;".contains(c)).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let code = pair[1].strip_prefix('`').and_then(|code| code.strip_suffix('`'));
            if let (Ok(status), Some(code)) = (pair[0].parse::<u16>(), code)
                && status >= 400
                && code.contains('_')
            {
                found.insert((status, code.to_owned()));
            }
        }
    }
    found
}

#[test]
fn the_readme_says_the_same() {
    let checker = Checker::new();
    let document = checker.pairs();
    let of_routes = checker.documented().into_iter().filter_map(|one| {
        let words: Vec<_> = one.split(' ').collect();
        (words.len() == 4).then(|| (words[2].parse().unwrap(), words[3].to_owned()))
    });
    let of_routes: BTreeSet<(u16, String)> = of_routes.collect();
    assert!(of_routes.is_subset(&document), "{of_routes:?}");
    let readme = readme();
    assert!(readme.len() > 15, "they are found: {readme:?}");
    let missing: Vec<_> = readme.difference(&document).collect();
    assert_eq!(missing, Vec::<&(u16, String)>::new(), "in the README, not in the document");
    let unsaid: Vec<_> = document.difference(&readme).collect();
    assert_eq!(unsaid, [&(422, "invalid_request".to_owned())], "in the document, not in the README's tables");
}

/// The reasons that this version knows, as the document shows them.
#[test]
fn every_reason_is_in_it() {
    let source = fs::read_to_string("src/session/end.rs").unwrap();
    let arms = source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
    let known: BTreeSet<_> =
        arms.filter_map(|(_, text)| text.strip_suffix("\",")).filter(|text| *text != "other").collect();
    assert!(known.contains("logout"), "they are found: {known:?}");
    let schema = everything().to_value()["components"]["schemas"]["EndReason"].take();
    assert_eq!(schema["type"], "string");
    let shown: Vec<String> = serde_json::from_value(schema["examples"].clone()).unwrap();
    assert_eq!(shown.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
}
