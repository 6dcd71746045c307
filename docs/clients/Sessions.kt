// For Android and the JVM, with OkHttp 5: see docs/clients.md. Copy it and change it.
//
//   val sessions = Sessions(origin, store) { reason -> /* the sign-in screen, and why */ }
//   val http = OkHttpClient.Builder().addInterceptor(sessions).authenticator(sessions).build()

import java.io.IOException
import java.util.concurrent.TimeUnit
import kotlin.random.Random
import okhttp3.Authenticator
import okhttp3.HttpUrl
import okhttp3.Interceptor
import okhttp3.MediaType.Companion.toMediaType
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody.Companion.toRequestBody
import okhttp3.Response
import okhttp3.Route
import org.json.JSONException
import org.json.JSONObject

class Tokens(val access: String, val refresh: String?)

/** Encrypted by a key of the Android Keystore. `write` returns when it is on the disk: `commit()`, not `apply()`. */
interface TokenStore {
    fun read(): Tokens?
    fun write(tokens: Tokens?)
}

class Sessions(
    private val origin: HttpUrl,
    private val store: TokenStore,
    private val ended: (reason: String) -> Unit,
) : Interceptor, Authenticator {
    // Of its own, or a refresh would wait for itself. The service answers within 4 s, and its grace is 10 s.
    private val plain = OkHttpClient.Builder().callTimeout(6, TimeUnit.SECONDS).build()
    private val lock = Any()

    fun signedIn(answer: JSONObject) = synchronized(lock) { store.write(tokens(answer)) }

    /** The token on each request to the service, and to no other; 503 is waited for. */
    override fun intercept(chain: Interceptor.Chain): Response {
        val asked = chain.request()
        if (!isOurs(asked.url)) return chain.proceed(asked)
        var attempt = 1
        while (true) {
            val tokens = store.read()
            val response = chain.proceed(if (tokens == null) asked else with(asked, tokens))
            val repeatable = asked.method in setOf("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
            val unavailable = response.code == 503 && problem(response).optString("code") == "temporarily_unavailable"
            if (!unavailable || !repeatable || attempt == ATTEMPTS) return response
            response.close()
            pause(attempt++, response)
        }
    }

    /** OkHttp asks this after each 401: the request to send instead, or null to let the 401 through. */
    override fun authenticate(route: Route?, response: Response): Request? {
        val asked = response.request
        val used = asked.header("Authorization")?.removePrefix("Bearer ") ?: return null
        if (!isOurs(asked.url) || response.priorResponse?.priorResponse != null) return null
        val problem = problem(response)
        val code = problem.optString("code")
        // One refresh at a time: who waits here finds new tokens.
        synchronized(lock) {
            val held = store.read() ?: return null
            return when {
                held.access != used -> with(asked, held)
                code == "token_expired" && held.refresh != null -> refreshed(held)?.let { with(asked, it) }
                code == "session_ended" || code == "invalid_token" -> {
                    forget(problem.optString("reason", code))
                    null
                }
                else -> null // second_factor_required, fresh_auth_required: for the screen that asked
            }
        }
    }

    /** Null: the session is over. Throws where nothing is known: then everything is kept. */
    private fun refreshed(held: Tokens): Tokens? {
        val body = JSONObject().put("refresh_token", held.refresh).toString().toRequestBody(JSON)
        val request = Request.Builder().url(origin.resolve("/auth/refresh")!!).post(body).build()
        for (attempt in 1..ATTEMPTS) {
            var answer: Response? = null
            try {
                answer = plain.newCall(request).execute()
                if (answer.isSuccessful) {
                    val tokens = tokens(JSONObject(answer.body.string()))
                    store.write(tokens) // before it is used
                    return tokens
                }
                if (answer.code < 500) {
                    if (answer.code == 401) problem(answer).let { forget(it.optString("reason", it.optString("code"))) }
                    return null
                }
            } catch (lost: IOException) {
                // The answer was lost: the same token again.
            } catch (odd: JSONException) {
                // Half an answer, or somebody else's: as well.
            } finally {
                answer?.close()
            }
            if (attempt < ATTEMPTS) pause(attempt, answer)
        }
        throw IOException("the session could not be refreshed now")
    }

    private fun forget(reason: String) {
        store.write(null)
        ended(reason)
    }

    private fun isOurs(url: HttpUrl) = url.scheme == origin.scheme && url.host == origin.host && url.port == origin.port

    private fun with(request: Request, tokens: Tokens) =
        request.newBuilder().header("Authorization", "Bearer ${tokens.access}").build()

    private fun tokens(answer: JSONObject) =
        Tokens(answer.getString("access_token"), answer.optString("refresh_token").ifEmpty { null })

    /** Peeked at: whoever asked may read it too. */
    private fun problem(response: Response) =
        runCatching { JSONObject(response.peekBody(10_000).string()) }.getOrDefault(JSONObject())

    /** What the service asks for, else longer each time; never all at once. */
    private fun pause(attempt: Int, response: Response?) {
        val asked = response?.header("Retry-After")?.toLongOrNull()?.times(1_000) ?: (250L shl attempt)
        Thread.sleep(asked + Random.nextLong(asked / 2 + 1))
    }

    private companion object {
        const val ATTEMPTS = 5
        val JSON = "application/json".toMediaType()
    }
}
