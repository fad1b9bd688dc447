// The recommendation service from Java 17 with nothing but the JDK. One file, so that `java Recommendations.java` runs
// it; in a project of your own, let Jackson read the JSON and Jedis or Lettuce talk to Redis.

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Scanner;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

import static java.nio.charset.StandardCharsets.UTF_8;

public class Recommendations {
    static final String USAGE = """
        usage: java Recommendations.java recommend USER_ID         one user's titles with their scores
               java Recommendations.java batch USER_ID...          the titles of a few users, answered at once
               java Recommendations.java job USER_ID...            many users as a job, and the best title of each
               java Recommendations.java publish USER_ID...        the same job, put straight on the queue
               java Recommendations.java job|publish - < FILE      one user id to a line

        ML_SERVICE_URL   the service (http://127.0.0.1:8000)
        BROKER_URL       publish: the broker, a Redis (redis://127.0.0.1:6379/1)
        LIMIT            titles per user (10)
        IDEMPOTENCY_KEY  job: the submission's name (a new one); under the same name it is the same job
        JOB_ID           publish: the job's id, a UUID (a new one); with the same id it is the same job
        APPEARS_SECONDS  publish: longest wait for a worker to take the message (60)""";

    static final String SERVICE = setting("ML_SERVICE_URL", "http://127.0.0.1:8000").replaceAll("/+$", "");
    static final String BROKER = setting("BROKER_URL", "redis://127.0.0.1:6379/1");
    static final int LIMIT = Integer.parseInt(setting("LIMIT", "10"));
    static final Duration ANSWER = Duration.ofSeconds(30); // longest wait for an answer
    static final long JOB_SECONDS = 600; // longest wait for a job to end
    /** Longest wait for a worker to take a message. */
    static final long APPEARS_SECONDS = Long.parseLong(setting("APPEARS_SECONDS", "60"));
    static final long LISTEN_SECONDS = 5; // before a published job is asked for
    static final HttpClient HTTP =
        HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(5)).build();

    public static void main(String[] arguments) throws InterruptedException {
        List<String> users = new ArrayList<>(List.of(arguments));
        String command = users.isEmpty() ? "" : users.remove(0);
        if (users.equals(List.of("-"))) users = new Scanner(System.in, UTF_8).tokens().toList();
        if (users.isEmpty() || users.get(0).startsWith("-")) command = "";
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, UTF_8));
        try {
            switch (command) {
                case "recommend" -> recommend(users.get(0));
                case "batch" -> batch(users);
                case "job" -> job(users);
                case "publish" -> publish(users);
                default -> {
                    System.err.println(USAGE);
                    System.exit(2);
                }
            }
        } catch (Refused refused) {
            System.err.println("error: " + refused.getMessage());
            System.exit(1);
        }
    }

    // region: recommend
    /** One user's best titles. */
    static void recommend(String user) throws Refused, InterruptedException {
        String path = "/api/recommendations/" + URLEncoder.encode(user, UTF_8) + "?limit=" + LIMIT;
        Json page = call("GET", path, null).json();
        System.out.println(page.text("user_id") + "  " + page.text("strategy"));
        for (Json title : page.list("recommendations")) System.out.println(scored(title));
    }
    // end

    // region: batch
    /** Up to 50 users in one request; for more the service answers with a job. */
    static void batch(List<String> users) throws Refused, InterruptedException {
        String body = Json.write(Map.of("user_ids", users, "limit", LIMIT));
        Json answer = call("POST", "/api/recommendations/batch", body).json();
        if (!answer.has("results")) throw new Refused(202, "too many users to answer at once; use job");
        answer.map("results").forEach((user, page) -> {
            System.out.println(user + "  " + page.text("strategy"));
            for (Json title : page.list("recommendations")) System.out.println(scored(title));
        });
    }
    // end

    // region: job
    /** Any number of users, up to 100,000. */
    static void job(List<String> users) throws Refused, InterruptedException {
        String key = setting("IDEMPOTENCY_KEY", UUID.randomUUID().toString());
        String body = Json.write(Map.of("user_ids", users, "limit", LIMIT));
        Answer accepted = call(
            "POST", "/api/recommendations/batch", body, "Prefer", "respond-async", "Idempotency-Key", key);
        System.err.println("job " + accepted.json().text("job_id") + ", submitted as " + key);
        printResults(follow(accepted.header("Location"), null));
    }
    // end

    // region: publish
    /** Any number of users, up to 100,000. */
    static void publish(List<String> users) throws Refused, InterruptedException {
        String jobId = setting("JOB_ID", UUID.randomUUID().toString());
        String replyTo = "recommendations.reply." + jobId.toLowerCase(Locale.ROOT);
        Map<String, Object> arguments = Map.of("job_id", jobId, "user_ids", users, "limit", LIMIT, "reply_to", replyTo);
        redis(0, "LPUSH", "recommendations", celeryMessage("recommendations.batch.v1", arguments));
        System.err.println("job " + jobId + ", published");
        printResults(follow("/api/jobs/" + jobId, milliseconds -> listen(replyTo, milliseconds)));
    }

    /** A task as Celery's protocol 2 writes it. The delivery tag must be another for every message. */
    static String celeryMessage(String task, Map<String, Object> arguments) {
        String id = UUID.randomUUID().toString();
        String nothing = "{\"callbacks\":null,\"errbacks\":null,\"chain\":null,\"chord\":null}";
        return Json.write(Map.of(
            "body", "[[]," + Json.write(arguments) + "," + nothing + "]",
            "content-type", "application/json",
            "content-encoding", "utf-8",
            "headers", Map.of("lang", "java", "task", task, "id", id, "root_id", id),
            "properties", Map.of(
                "correlation_id", id,
                "delivery_tag", UUID.randomUUID().toString(),
                "delivery_mode", 2,
                "delivery_info", Map.of("exchange", "", "routing_key", "recommendations"))));
    }
    // end

    // region: listen
    /**
     * Listen for an announcement. It says that it is worth asking for the job: should it get lost, or come twice,
     * nothing is wrong.
     */
    static void listen(String queue, long milliseconds) throws Refused {
        Object found = redis(milliseconds, "BRPOP", queue, String.valueOf(milliseconds / 1000.0));
        if (found instanceof List<?> pair) {
            System.err.println("announced: " + Json.read((String) pair.get(1)).text("type"));
        }
    }
    // end

    // region: call
    /** The service said no, or gave no answer (status 0). */
    static class Refused extends Exception {
        final int status;

        Refused(int status, String message) {
            super(message);
            this.status = status;
        }
    }

    /** A whole answer. */
    record Answer(HttpResponse<Stream<String>> response, Json json) {
        String header(String name) {
            return response.headers().firstValue(name).orElse("");
        }
    }

    static Answer call(String method, String path, String body, String... headers)
            throws Refused, InterruptedException {
        HttpResponse<Stream<String>> response = send(method, path, body, headers);
        try (Stream<String> lines = response.body()) {
            return new Answer(response, Json.read(lines.collect(Collectors.joining("\n"))));
        } catch (IllegalArgumentException | UncheckedIOException error) {
            throw new Refused(0, SERVICE + path + " answered something else than JSON: " + error.getMessage());
        }
    }

    /**
     * An open answer, to be read. Tried three times while nobody answers or the service is busy (503): no request of
     * these examples does harm when it is sent twice.
     */
    static HttpResponse<Stream<String>> send(String method, String path, String body, String... headers)
            throws Refused, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(SERVICE + path))
            .method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body))
            .timeout(ANSWER)
            .header("Content-Type", "application/json");
        if (headers.length > 0) request.headers(headers);
        for (int tries = 1; ; tries++) {
            try {
                HttpResponse<Stream<String>> response = HTTP.send(request.build(), BodyHandlers.ofLines());
                if (response.statusCode() < 300) return response;
                if (response.statusCode() != 503 || tries == 3) throw problem(response);
                response.body().close();
                Thread.sleep(retryAfter(response));
            } catch (IOException error) { // refused, cut off or too slow
                if (tries == 3) throw new Refused(0, "no answer from " + SERVICE + ": " + reason(error));
                Thread.sleep(2000);
            }
        }
    }

    /** What the service says is wrong (RFC 9457). */
    static Refused problem(HttpResponse<Stream<String>> response) {
        int status = response.statusCode();
        try (Stream<String> lines = response.body()) {
            Json problem = Json.read(lines.collect(Collectors.joining("\n")));
            return new Refused(status, status + " " + problem.text("type") + ": " + problem.text("detail"));
        } catch (RuntimeException error) { // not the service's own words: a proxy's page, say
            return new Refused(status, String.valueOf(status));
        }
    }

    /** Milliseconds to wait before asking again. */
    static long retryAfter(HttpResponse<?> response) {
        String seconds = response.headers().firstValue("Retry-After").orElse("");
        return seconds.matches("\\d{1,6}") ? 1000 * Long.parseLong(seconds) : 2000;
    }
    // end

    // region: follow
    /**
     * Ask for a job until it has ended, as often as the service wants to be asked.
     *
     * @param listener of a job that was put on the queue, and is unknown until a worker has taken the message
     */
    static Json follow(String path, Listener listener) throws Refused, InterruptedException {
        long started = System.nanoTime();
        String said = "";
        if (listener != null) listener.listen(1000 * LISTEN_SECONDS);
        while (secondsSince(started) < JOB_SECONDS) {
            Answer answer;
            try {
                answer = call("GET", path, null);
            } catch (Refused refused) {
                if (listener == null || refused.status != 404) throw refused;
                if (secondsSince(started) > APPEARS_SECONDS) {
                    String again = "publish again with JOB_ID=" + path.replaceAll(".*/", "") + ", which is safe";
                    throw new Refused(404, "not taken within " + APPEARS_SECONDS + " s; " + again);
                }
                listener.listen(2000);
                continue;
            }
            Json job = answer.json();
            String now = job.text("state") + ": " + job.number("done") + " of " + job.number("total") + " users";
            if (!now.equals(said)) System.err.println(said = now);
            if (!List.of("accepted", "running").contains(job.text("state"))) return job;
            long milliseconds = retryAfter(answer.response());
            if (listener == null) Thread.sleep(milliseconds);
            else listener.listen(milliseconds);
        }
        throw new Refused(0, path + " has not ended within " + JOB_SECONDS + " s; it goes on, ask again later");
    }

    /** Waits for so many milliseconds, or less when there is news. */
    interface Listener {
        void listen(long milliseconds) throws Refused;
    }
    // end

    // region: results
    /** The best title of every user; the pages are read one by one, as they arrive. */
    static void printResults(Json job) throws Refused, InterruptedException {
        if (job.has("problem")) System.err.println(job.text("state") + ": " + job.get("problem").text("detail"));
        String path = "/api/jobs/" + job.text("job_id") + "/results";
        long count = 0;
        try (Stream<String> lines = send("GET", path, null, "Accept", "application/x-ndjson").body()) {
            for (Iterator<String> each = lines.iterator(); each.hasNext(); count++) {
                Json page = Json.read(each.next());
                List<Json> titles = page.list("recommendations");
                System.out.println(page.text("user_id") + (titles.isEmpty() ? "" : "  " + scored(titles.get(0))));
            }
        } catch (IllegalArgumentException | UncheckedIOException error) {
            throw new Refused(0, "the results broke off after " + count + " users: " + error.getMessage());
        }
        if (count < job.number("done")) {
            throw new Refused(0, "the results broke off after " + count + " of " + job.number("done") + " users");
        }
        if (job.number("failed") > 0) {
            throw new Refused(0, job.number("failed") + " of " + job.number("total") + " users failed");
        }
    }
    // end

    // region: redis
    /**
     * Log in to the Redis of BROKER_URL, choose its database, run one command, and give its reply: a String, a Long, a
     * List of these, or null.
     *
     * @param milliseconds how long the command itself may wait
     */
    static Object redis(long milliseconds, String... command) throws Refused {
        URI uri = URI.create(BROKER);
        if (!"redis".equals(uri.getScheme())) throw new Refused(0, "BROKER_URL must start with redis://");
        List<String[]> commands = new ArrayList<>();
        if (uri.getUserInfo() != null) {
            String[] login = uri.getUserInfo().split(":", 2); // user:password, or :password
            boolean named = !login[0].isEmpty();
            commands.add(named ? new String[] {"AUTH", login[0], login[1]} : new String[] {"AUTH", login[1]});
        }
        commands.add(new String[] {"SELECT", uri.getPath().length() > 1 ? uri.getPath().substring(1) : "0"});
        commands.add(command);

        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(uri.getHost(), uri.getPort() < 0 ? 6379 : uri.getPort()), 2000);
            socket.setSoTimeout(5000 + (int) milliseconds); // ms without an answer
            StringBuilder request = new StringBuilder();
            for (String[] words : commands) {
                request.append("*").append(words.length).append("\r\n");
                for (String word : words) {
                    request.append("$").append(word.getBytes(UTF_8).length).append("\r\n").append(word).append("\r\n");
                }
            }
            socket.getOutputStream().write(request.toString().getBytes(UTF_8));
            DataInputStream replies = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
            for (int others = commands.size() - 1; others > 0; others--) reply(replies);
            return reply(replies);
        } catch (IOException error) {
            throw new Refused(0, "the broker did not take " + command[0] + ": " + reason(error));
        }
    }

    /** One reply in Redis's protocol. */
    @SuppressWarnings("deprecation") // readLine: these lines are ASCII
    static Object reply(DataInputStream from) throws IOException {
        String line = from.readLine();
        if (line == null || line.isEmpty()) throw new EOFException("it hung up");
        String rest = line.substring(1);
        switch (line.charAt(0)) {
            case '-' -> throw new IOException(rest);
            case '+' -> {
                return rest;
            }
            case ':' -> {
                return Long.valueOf(rest);
            }
            case '$' -> {
                if (rest.equals("-1")) return null;
                byte[] text = new byte[Integer.parseInt(rest) + 2]; // with the end of the line
                from.readFully(text);
                return new String(text, 0, text.length - 2, UTF_8);
            }
            default -> { // *: so many replies
                if (rest.equals("-1")) return null;
                List<Object> all = new ArrayList<>();
                for (int left = Integer.parseInt(rest); left > 0; left--) all.add(reply(from));
                return all;
            }
        }
    }
    // end

    /** A title with its score; the catalogue may have no name for it. */
    static String scored(Json title) {
        String name = title.has("title") ? title.text("title") : "(no title)";
        return String.format(Locale.ROOT, "%.4f  %s", (Double) title.get("score").value(), name);
    }

    static String setting(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }

    static String reason(Exception error) {
        return error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
    }

    static long secondsSince(long nanoTime) {
        return (System.nanoTime() - nanoTime) / 1_000_000_000;
    }

    /** A value of a JSON document: a Map, a List, a String, a Double, a Boolean or null. */
    record Json(Object value) {
        boolean has(String key) {
            return get(key).value != null;
        }

        Json get(String key) {
            return new Json(((Map<?, ?>) value).get(key));
        }

        String text(String key) {
            return (String) get(key).value;
        }

        long number(String key) {
            return ((Double) get(key).value).longValue();
        }

        List<Json> list(String key) {
            return ((List<?>) get(key).value).stream().map(Json::new).toList();
        }

        Map<String, Json> map(String key) {
            Map<String, Json> found = new LinkedHashMap<>();
            ((Map<?, ?>) get(key).value).forEach((name, item) -> found.put((String) name, new Json(item)));
            return found;
        }

        /** Throws IllegalArgumentException when the text is not one JSON object. */
        static Json read(String text) {
            JsonReader reader = new JsonReader(text);
            if (!(reader.value() instanceof Map<?, ?> object) || !reader.atEnd()) throw reader.wrong();
            return new Json(object);
        }

        static String write(Object value) {
            if (value instanceof Map<?, ?> map) {
                return map.entrySet().stream()
                    .map(entry -> write(entry.getKey()) + ":" + write(entry.getValue()))
                    .collect(Collectors.joining(",", "{", "}"));
            }
            if (value instanceof List<?> list) {
                return list.stream().map(Json::write).collect(Collectors.joining(",", "[", "]"));
            }
            if (!(value instanceof String text)) return String.valueOf(value);
            return text.chars().mapToObj(Json::escaped).collect(Collectors.joining("", "\"", "\""));
        }

        private static String escaped(int c) {
            return c < ' ' || c == '"' || c == '\\' ? String.format("\\u%04x", c) : String.valueOf((char) c);
        }
    }

    /** Reads JSON, which the JDK cannot. */
    static class JsonReader {
        static final Pattern LITERAL = Pattern.compile("true|false|null|-?[0-9]+(\\.[0-9]+)?([eE][-+]?[0-9]+)?");
        static final Pattern STRING = Pattern.compile("\"((?:[^\"\\\\]|\\\\.)*+)\"");
        static final Pattern ESCAPE = Pattern.compile("\\\\(?:u([0-9a-fA-F]{4})|(.))");
        final String text;
        int at = 0;

        JsonReader(String text) {
            this.text = text;
        }

        Object value() {
            if (take('{')) {
                Map<String, Object> object = new LinkedHashMap<>();
                while (!take('}')) {
                    if (!object.isEmpty() && !take(',')) throw wrong();
                    String key = string();
                    if (!take(':')) throw wrong();
                    object.put(key, value());
                }
                return object;
            }
            if (take('[')) {
                List<Object> array = new ArrayList<>();
                while (!take(']')) {
                    if (!array.isEmpty() && !take(',')) throw wrong();
                    array.add(value());
                }
                return array;
            }
            if (!atEnd() && text.charAt(at) == '"') return string();
            String literal = next(LITERAL).group();
            return switch (literal) {
                case "null" -> null;
                case "true", "false" -> Boolean.valueOf(literal);
                default -> Double.valueOf(literal);
            };
        }

        String string() {
            return ESCAPE.matcher(next(STRING).group(1)).replaceAll(escape -> {
                if (escape.group(1) != null) {
                    return Matcher.quoteReplacement(String.valueOf((char) Integer.parseInt(escape.group(1), 16)));
                }
                int place = "bfnrt".indexOf(escape.group(2));
                String meant = place < 0 ? escape.group(2) : "\b\f\n\r\t".substring(place, place + 1);
                return Matcher.quoteReplacement(meant);
            });
        }

        Matcher next(Pattern pattern) {
            Matcher found = pattern.matcher(text).region(atEnd() ? text.length() : at, text.length());
            if (!found.lookingAt()) throw wrong();
            at = found.end();
            return found;
        }

        boolean take(char wanted) {
            if (atEnd() || text.charAt(at) != wanted) return false;
            at++;
            return true;
        }

        boolean atEnd() {
            while (at < text.length() && Character.isWhitespace(text.charAt(at))) at++;
            return at == text.length();
        }

        IllegalArgumentException wrong() {
            return new IllegalArgumentException("unreadable from character " + at);
        }
    }
}
