// For iOS, iPadOS and macOS: see docs/clients.md. Copy it and change it.
//
//   let sessions = Sessions(origin: origin, store: keychain) { reason in /* the sign-in screen, and why */ }
//   let (data, answer) = try await sessions.data(for: URLRequest(url: origin.appending(path: "orders")))

import Foundation

struct Tokens: Codable, Sendable, Equatable {
    var access_token: String
    var refresh_token: String?
}

/// The Keychain, with `kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly`: readable in the background, and in no backup for
/// another device. `write` returns when it is stored.
protocol TokenStore: Sendable {
    func read() -> Tokens?
    func write(_ tokens: Tokens?) throws
}

actor Sessions {
    private struct Problem: Decodable {
        var code: String?
        var reason: String?
    }

    private let origin: URL
    private let store: any TokenStore
    private let ended: @Sendable (String) -> Void
    private let http: URLSession
    private var refreshing: Task<Void, any Error>?

    init(origin: URL, store: any TokenStore, http: URLSession = .shared, ended: @escaping @Sendable (String) -> Void) {
        (self.origin, self.store, self.http, self.ended) = (origin, store, http, ended)
    }

    func signedIn(_ tokens: Tokens) throws { try store.write(tokens) }

    func data(for asked: URLRequest) async throws -> (Data, HTTPURLResponse) {
        // Tokens go to the service and to no other.
        guard let url = asked.url, url.scheme == origin.scheme, url.host == origin.host, url.port == origin.port else {
            throw URLError(.unsupportedURL)
        }
        let repeatable = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(asked.httpMethod ?? "GET")
        var (attempt, renewed) = (1, false)
        while true {
            let used = store.read()
            var request = asked
            if let used { request.setValue("Bearer \(used.access_token)", forHTTPHeaderField: "Authorization") }
            let (data, answer) = try await send(request)
            guard answer.statusCode == 401 || answer.statusCode == 503 else { return (data, answer) }
            let problem = try? JSONDecoder().decode(Problem.self, from: data)
            switch problem?.code {
            case "temporarily_unavailable" where repeatable && attempt < Self.attempts:
                try await pause(attempt, answer)
                attempt += 1
            case _ where answer.statusCode == 401 && !renewed && used != nil && isOld(used):
                renewed = true // there are newer ones
            case "token_expired" where !renewed && used?.refresh_token != nil:
                renewed = true
                try await refreshed()
            case "session_ended", "invalid_token":
                try forget(used, because: problem?.reason ?? problem?.code ?? "")
                return (data, answer)
            default: // second_factor_required, fresh_auth_required: for the screen that asked
                return (data, answer)
            }
        }
    }

    /// One refresh at a time: who comes meanwhile waits for it. It goes on when the request that began it is cancelled.
    private func refreshed() async throws {
        if let refreshing { return try await refreshing.value }
        guard let held = store.read(), held.refresh_token != nil else { return }
        let task = Task {
            defer { refreshing = nil }
            try await refresh(held)
        }
        refreshing = task // nothing was awaited since the first line, so nobody else has begun one
        try await task.value
    }

    private func refresh(_ held: Tokens) async throws {
        // The service answers within 4 s, and its grace is 10 s.
        var request = URLRequest(url: origin.appending(path: "auth/refresh"), timeoutInterval: 6)
        request.httpMethod = "POST"
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.httpBody = try JSONEncoder().encode(["refresh_token": held.refresh_token])
        for attempt in 1...Self.attempts {
            var answer: HTTPURLResponse?
            do {
                let (data, answered) = try await send(request)
                answer = answered
                if answered.statusCode == 200 {
                    let tokens = try JSONDecoder().decode(Tokens.self, from: data)
                    // Stored before it is used, and not over a sign-in that came meanwhile.
                    if store.read() == held { try store.write(tokens) }
                    return
                }
                if answered.statusCode == 401 {
                    let problem = try? JSONDecoder().decode(Problem.self, from: data)
                    try forget(held, because: problem?.reason ?? problem?.code ?? "")
                }
                if answered.statusCode < 500 { return }
            } catch is URLError {
                // The answer was lost: the same token again.
            } catch is DecodingError {
                // Half an answer, or somebody else's: as well.
            }
            if attempt < Self.attempts { try await pause(attempt, answer) }
        }
        throw URLError(.cannotLoadFromNetwork) // nothing is known, and everything is kept
    }

    private func isOld(_ used: Tokens?) -> Bool {
        guard let held = store.read() else { return false }
        return held.access_token != used?.access_token
    }

    /// Unless somebody has signed in since.
    private func forget(_ used: Tokens?, because reason: String) throws {
        guard let used, store.read() == used else { return }
        try store.write(nil)
        ended(reason)
    }

    private func send(_ request: URLRequest) async throws -> (Data, HTTPURLResponse) {
        let (data, answer) = try await http.data(for: request)
        guard let answer = answer as? HTTPURLResponse else { throw URLError(.badServerResponse) }
        return (data, answer)
    }

    /// What the service asks for, else longer each time; never all at once.
    private func pause(_ attempt: Int, _ answer: HTTPURLResponse?) async throws {
        let asked = answer?.value(forHTTPHeaderField: "Retry-After").flatMap(Double.init) ?? pow(2, Double(attempt)) / 4
        try await Task.sleep(for: .seconds(asked * Double.random(in: 1...1.5)))
    }

    private static let attempts = 5
}
