//! Throw-away keys made with `openssl genpkey`, for tests alone: bodies without labels, so that no scanner takes them for
//! secrets that leaked.

/// P-256, PKCS#8.
pub(super) const P256_PRIVATE: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQokmLxv9oFqGi5m79TUFmVCL4NljFo5NEOWLjUI/pTihRANCAATAQBTPsRiqo1\
    8R8N+Z4lKYoma9cG+7pZoPriX5CYeXIYs3b9WbR3vhNAftfbcbRAakUnaTapiOWFlADKDXGaIy";
/// P-256, SPKI.
pub(super) const P256_PUBLIC: &str = "\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEwEAUz7EYqqNfEfDfmeJSmKJmvXBvu6WaD64l+QmHlyGLN2/Vm0d74TQH7X23G0QGpFJ2k2qYjl\
    hZQAyg1xmiMg==";
/// P-384, PKCS#8.
pub(super) const P384_PRIVATE: &str = "\
    MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDFfIBK6tilCk3sKOi1gzixlnIJ2KrY5OvvKCdtaC6DsN2zAcklAI1M9TRdUARze7\
    qhZANiAATUQJwr437YlmqIlNODBP7+zDvOlaffxxb5K/KOjoOZFRjIdG936epzMmmCIw0tjeLKht087kCpY8lVZzwycIVtq81dwO4YR35WqoUH\
    0I5Gzry+kIEPxenuCRNavSTkd+E=";
/// P-384, SPKI.
pub(super) const P384_PUBLIC: &str = "\
    MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE1ECcK+N+2JZqiJTTgwT+/sw7zpWn38cW+Svyjo6DmRUYyHRvd+nqczJpgiMNLY3iyobdPO5AqWPJVW\
    c8MnCFbavNXcDuGEd+VqqFB9CORs68vpCBD8Xp7gkTWr0k5Hfh";
/// secp256k1, PKCS#8.
pub(super) const K256_PRIVATE: &str = "\
    MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgnB92ElGyX902SoPcb9sl80PdhglJLUCLxA5rWJMopIuhRANCAATmQpjoa5nXOMP0dd\
    iiG+BYnANd31gt/SZpaJEYAqaLJF4t8vfD+10Y4tXNJ+oLGkE6Wba8hqrxG0fwEI4yWHT/";
/// secp256k1, SPKI.
pub(super) const K256_PUBLIC: &str = "\
    MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE5kKY6GuZ1zjD9HXYohvgWJwDXd9YLf0maWiRGAKmiyReLfL3w/tdGOLVzSfqCxpBOlm2vIaq8RtH8B\
    COMlh0/w==";
/// Ed25519, PKCS#8.
pub(super) const ED25519_PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEIKzvzUJPdd2ZE8cWPCh1fryPK6ey3atZc/KurfLhqKhB";
/// Ed25519, SPKI.
pub(super) const ED25519_PUBLIC: &str = "MCowBQYDK2VwAyEAuW9eCm5FOBP3kcW2jeLxO7K3bd/GySaPzSRrfe2XOEg=";
/// Ed448, PKCS#8.
pub(super) const ED448_PRIVATE: &str = "\
    MEcCAQAwBQYDK2VxBDsEOdjV5AV17k7XfyRrkSMQO3ad6UQ7yXzRV8SIMrtKpLHhALTNkL/oguMG9ZZwgzx5Ims6LI8XSHsDMw==";
/// Ed448, SPKI.
pub(super) const ED448_PUBLIC: &str = "\
    MEMwBQYDK2VxAzoAAWINJDI6bVciJRxYewk9/mTeFkFsifA/1PRNE1qQPzLorWoI7lpaVS3Py7UOUgjzvC6hegGJVoSA";
/// X25519, PKCS#8.
pub(super) const X25519_PRIVATE: &str = "MC4CAQAwBQYDK2VuBCIEIKhhnFAMpUrdklqskOze5gQnXUEbbjnEpwyOaNt4/xxO";
/// X25519, SPKI.
pub(super) const X25519_PUBLIC: &str = "MCowBQYDK2VuAyEAKK7S2INk6qnSwONr1dJK3rRQh9aZzQ2L/fovNUahVQA=";
/// RSA of 1024 bits, PKCS#8.
pub(super) const RSA1024_PRIVATE: &str = "\
    MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAL5W7F5IxpxBLeVN4Eq/xMx4PKPQDZwvmgtxZPAVAJkwZls/6fpkOOw5ao2ueA\
    QtJ1vveSCEPg0S9i2IwY0IQTIxA6YeVJmEJpKJDyjBIAksCQb9V/K3QpbK2uJaK+uSP+eblNU72et7N8VxlWehTsV7qYZVr77pCk2NR4mazXAF\
    AgMBAAECgYBKjDjfZJmFMXIMUUf7fshRXPZDIoVyGqK2wJ7L+S3W0cIFEy9MxlwVCRfWjfKrkBPOSiiit6il7jtE8j78QbNmisLt8rlKWcpVgO\
    p0CzOK6D7OZ2bNlJByZ8STh8r5xdaiDWZdzhX7Xm5ri4Im34+5RE3Ql3BV1+fVwrqL0cS0AQJBAPq3zvUgNmWW86GtCCKlLq33vdKL75eEwegn\
    evyF+3KNkfI7cIjo5wXtLG8xKwzjf4emhkVClBoHYOuvEGDg20ECQQDCWXomx1iYta/JV/Hi+2kyDWPBJT7P0EXdAZAseUfsJkSL8W/8B4sEQP\
    apSo+fPos1fKsJmGZJydv4SELY+ffFAkEArLu2emuXDqbRc7IiyLvFTVZCEa0XhOySK8AHm7MzadjflGQfRDQx9oNQ+cqGPnr+ghbYqx8Tqlsr\
    CzWxsw04AQJAK63CZz68Ka4DsOOkCFhqnwYlWj5NrJTpbq8wQN6NDITZOP5tJZ5oXu9ewFNyjd6XmNDI++IVcxX76wQKigs75QJAJljwP8fOU1\
    2eAnnwnQcG1D9P037hyY7awm1TjLdJ3h5HpPlN10dsp26iVwrXwSmR325WLlVcFYwN4xC+olv61g==";
/// RSA of 1024 bits, SPKI.
pub(super) const RSA1024_PUBLIC: &str = "\
    MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC+VuxeSMacQS3lTeBKv8TMeDyj0A2cL5oLcWTwFQCZMGZbP+n6ZDjsOWqNrngELSdb73kghD\
    4NEvYtiMGNCEEyMQOmHlSZhCaSiQ8owSAJLAkG/Vfyt0KWytriWivrkj/nm5TVO9nrezfFcZVnoU7Fe6mGVa++6QpNjUeJms1wBQIDAQAB";
/// RSA of 2040 bits, SPKI.
pub(super) const RSA2040_PUBLIC: &str = "\
    MIIBITANBgkqhkiG9w0BAQEFAAOCAQ4AMIIBCQKCAQAAvPjbYkazyqTL0vO4cm/mCW7tawrSfVBJtLtHAUAkfOGlt2HUYLTBAmuItUFRPR/4JZ\
    7kAULj9IZgT+R5Q0h9KcJuVgWtQ56wghF05OHP/NCS/RGRKIa/ACthLGWBNCOA91GhqL6STxGCdkN/8a6qvc/Lx5sJx+7qfAgU2pOxxCDIlOgS\
    M3trOcrJBjj2ifWGyeQAXLLxUmc5+fLfKomHx5OGkDETb3BKEXKQLXIJzQDj7H2W1a1bgvjH0r+0fhRGGJRHAVODhrySorgmVO+8iFI9Rw/gAA\
    5X6gCeDtYj/J/gRzytykYgAq5G/nFRLeQNjDduLg1r7ywdH4TrsiUjAgMBAAE=";
/// RSA for PSS only, SPKI.
pub(super) const RSA_PSS_PUBLIC: &str = "\
    MIIBIDALBgkqhkiG9w0BAQoDggEPADCCAQoCggEBALiml2A/+P1KIor8qoeTZjsCe13FzmuWG/LXEdVCRHpwA5snL4OX/NFxeMnuyUVsDXtSQD\
    5X+utfaUxJgfKNkZdg9bB0+Zz4/1z4NF9Nii2zcH6c1AO7QLQGA8//oam2vS8JoFQ/v1nUFHpltaA3otroXXwC3uOxlED52z55Dmv8n8iNMOcm\
    azn7mT0DaWfZqoonC/YPsiAYnEx9N3pc3dehhUPhvoxuyFtUCJOMe5ASeZZplEDkDzLeyTA14tm4zD9OgdyrjPHfKiJlmb6aU7+cRfIoesOOol\
    8A2COJvgVomMsy2yTt2+KH4wXO3Qtd4HhdmBzCHFBLghBP6H5f1uUCAwEAAQ==";
/// The same as `P256_PUBLIC`, with its point compressed.
pub(super) const P256_COMPRESSED: &str =
    "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACwEAUz7EYqqNfEfDfmeJSmKJmvXBvu6WaD64l+QmHlyE=";

/// What `openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary` says of them, as base64url.
pub(super) const P256_KID: &str = "VqeJQy8DvU1A2ty9Qc7EV1m1e8bpCVic9Gig_vDUhfA";
/// As `P256_KID`.
pub(super) const ED25519_KID: &str = "0D9H__xl6a6pcoD9JL-_uXRByQokSbKzxefVyH-JGcQ";
