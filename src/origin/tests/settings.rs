//! Choices that cannot work are told when they are made.

use super::TRUSTED;
use crate::{error::ConfigError, origin::ClientIp};

fn told(what: Result<ClientIp, ConfigError>) -> String {
    what.unwrap_err().to_string()
}

#[test]
fn a_header_needs_somebody_who_sets_it() {
    let nobody: [&str; 0] = [];
    for what in [ClientIp::x_forwarded_for(nobody), ClientIp::forwarded(nobody), ClientIp::header("X-Real-IP", nobody)]
    {
        let text = told(what);
        assert!(text.contains("10.0.0.0/8") && text.contains("ClientIp::socket()"), "{text}");
    }
}

#[test]
fn a_trusted_network_can_be_read_and_is_not_everybody() {
    for wrong in ["", "10.0.0.0/33", "10.0.0", "example.com", "*", "10.0.0.1-10.0.0.9", "fe80::1%eth0"] {
        let text = told(ClientIp::x_forwarded_for(["10.0.0.0/8", wrong]));
        assert!(text.contains(&format!("{wrong:?}")) && text.contains("10.0.0.0/8"), "{text}");
    }
    for everybody in ["0.0.0.0/0", "::/0", "10.0.0.0/0", "::ffff:0:0/96"] {
        let text = told(ClientIp::forwarded([everybody]));
        assert!(text.contains("everybody"), "{text}");
    }
    for right in ["10.0.0.1", " 10.0.0.0/8 ", "2001:db8::/32", "::1", "::ffff:10.0.0.0/104"] {
        assert!(ClientIp::x_forwarded_for([right]).is_ok(), "{right}");
    }
    assert!(ClientIp::x_forwarded_for(vec!["10.0.0.0/8".to_owned()]).is_ok(), "owned, as out of a configuration");
}

#[test]
fn a_header_name_is_one() {
    for wrong in ["", "CF Connecting IP", "X-Real-IP:", "x\n", "é", "a,b"] {
        assert!(told(ClientIp::header(wrong, TRUSTED)).contains("no header name"), "{wrong}");
    }
    for secret in ["Authorization", "cookie", "Proxy-Authorization", "Set-Cookie", "Host"] {
        assert!(told(ClientIp::header(secret, TRUSTED)).contains("never says where"), "{secret}");
        let country = ClientIp::forwarded(TRUSTED).unwrap().country_header(secret);
        assert!(told(country).contains("never says where"), "{secret}");
    }
    for list in ["X-Forwarded-For", "Forwarded"] {
        assert!(told(ClientIp::header(list, TRUSTED)).contains("x_forwarded_for(..)"), "{list}");
    }
}

#[test]
fn a_country_header_needs_somebody_who_sets_it() {
    assert!(told(ClientIp::socket().country_header("CF-IPCountry")).contains("trusts nobody"));
    assert!(ClientIp::forwarded(TRUSTED).unwrap().country_header("CF-IPCountry").is_ok());
}
