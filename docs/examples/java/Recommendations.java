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
import java.util.Optional;
import java.util.Scanner;
import java.util.Set;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

import static java.nio.charset.StandardCharsets.UTF_8;

public class Recommendations {
    static final String USAGE = """
        usage: java Recommendations.java recommend USER_ID             one user's titles with their scores
               java Recommendations.java filtered USER_ID GENRE...     those of some genres, each with its reason
               java Recommendations.java browse USER_ID                all of them, page by page
               java Recommendations.java similar MEDIA_ID              more like a title
               java Recommendations.java popular GENRE...              what is popular lately
               java Recommendations.java preview GENRE,... MEDIA_ID... what somebody who signs up would get
               java Recommendations.java batch USER_ID...              the titles of a few users, answered at once
               java Recommendations.java job USER_ID...                many users as a job, and the best title of each
               java Recommendations.java publish USER_ID...            the same job, put straight on the queue
               java Recommendations.java job|publish - < FILE          one user id to a line

        ML_SERVICE_URL    the service (http://127.0.0.1:8000)
        ML_SERVICE_TOKEN  a token or an API key for it (none)
        BROKER_URL        publish: the broker, a Redis (redis://127.0.0.1:6379/1)
        LIMIT             titles per user, or of a page (10)
        IDEMPOTENCY_KEY   job: the submission's name (a new one); under the same name it is the same job
        JOB_ID            publish: the job's id, a UUID (a new one); with the same id it is the same job
        APPEARS_SECONDS   publish: longest wait for a worker to take the message (60)""";

    static final Service SERVICE = new Service(
        setting("ML_SERVICE_URL", "http://127.0.0.1:8000"),
        setting("ML_SERVICE_TOKEN", null),
        Duration.ofSeconds(30),
        3);
    static final String BROKER = setting("BROKER_URL", "redis://127.0.0.1:6379/1");
    static final int LIMIT = Integer.parseInt(setting("LIMIT", "10"));
    /** Longest wait for a worker to take a message. */
    static final long APPEARS_SECONDS = Long.parseLong(setting("APPEARS_SECONDS", "60"));

    public static void main(String[] arguments) throws InterruptedException {
        List<String> words = new ArrayList<>(List.of(arguments));
        String command = words.isEmpty() ? "" : words.remove(0);
        if (words.equals(List.of("-"))) words = new Scanner(System.in, UTF_8).tokens().toList();
        if (words.isEmpty() || words.get(0).startsWith("-")) command = "";
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, UTF_8));
        try {
            switch (command) {
                case "recommend" -> recommend(words.get(0));
                case "filtered" -> filtered(words.get(0), words.subList(1, words.size()));
                case "browse" -> browse(words.get(0));
                case "similar" -> similar(words.get(0));
                case "popular" -> popular(words);
                case "preview" -> preview(words.get(0), words.subList(1, words.size()));
                case "batch" -> batch(words);
                case "job" -> job(words);
                case "publish" -> publish(words);
                default -> {
                    System.err.println(USAGE);
                    System.exit(2);
                }
            }
        } catch (Failed failed) {
            boolean unknown = failed instanceof Problem problem && problem.status == 401;
            System.err.println("error: " + failed.getMessage() + (unknown ? "; set ML_SERVICE_TOKEN" : ""));
            System.exit(1);
        }
    }

    // region: recommend
    /** One user's best titles. */
    static void recommend(String user) throws Problem, InterruptedException {
        Json page = SERVICE.recommend(user, Map.of("limit", LIMIT));
        System.out.println(page.text("user_id") + "  " + page.text("strategy"));
        for (Json title : page.list("recommendations")) System.out.println(scored(title));
    }
    // end

    // region: filtered
    /** One user's best titles that have any of these genres, and what of the history each is owed to. */
    static void filtered(String user, List<String> genres) throws Problem, InterruptedException {
        Json page = SERVICE.recommend(user, Map.of("genres_any", genres, "limit", LIMIT));
        for (Json title : page.list("recommendations")) {
            System.out.println(scored(title));
            System.out.println("        " + title.get("reason").text("text"));
            for (Json cause : title.get("reason").list("history")) {
                System.out.println("        " + fixed(cause, "share") + "  " + name(cause));
            }
        }
    }
    // end

    // region: browse
    /** A whole list, no title twice, though the user may like and watch meanwhile. */
    static void browse(String user) throws Problem, InterruptedException {
        Service.eachTitle(
            cursor -> SERVICE.recommend(user, Map.of("cursor", cursor, "limit", LIMIT, "explain", false)),
            title -> System.out.println(scored(title)));
    }
    // end

    // region: similar
    /** What to show beside a title. */
    static void similar(String title) throws Problem, InterruptedException {
        Json page = SERVICE.similar(title, Map.of("limit", LIMIT, "explain", false));
        for (Json other : page.list("recommendations")) System.out.println(scored(other));
    }
    // end

    // region: popular
    /** What to show to everybody: a like or a watch of 90 days ago counts half. */
    static void popular(List<String> genres) throws Problem, InterruptedException {
        Json page = SERVICE.popular(
            Map.of("half_life_days", 90, "genres_any", genres, "limit", LIMIT, "explain", false));
        for (Json title : page.list("recommendations")) System.out.println(scored(title));
    }
    // end

    // region: preview
    /** What to show to somebody who has just said what they like; nothing is stored of it. */
    static void preview(String genres, List<String> liked) throws Problem, InterruptedException {
        Json page = SERVICE.preview(
            Map.of("genres", List.of(genres.split(",", -1)), "liked", liked, "limit", LIMIT));
        for (Json title : page.list("recommendations")) {
            System.out.println(scored(title) + "  (" + title.get("reason").text("text") + ")");
        }
    }
    // end

    // region: batch
    /** Up to 50 users in one request; more are a job. */
    static void batch(List<String> users) throws Problem, InterruptedException {
        SERVICE.batch(users, Map.of("limit", LIMIT, "explain", false)).forEach((user, page) -> {
            System.out.println(user + "  " + page.text("strategy"));
            for (Json title : page.list("recommendations")) System.out.println(scored(title));
        });
    }
    // end

    // region: job
    /** Any number of users, up to 100,000. */
    static void job(List<String> users) throws Failed, InterruptedException {
        String key = setting("IDEMPOTENCY_KEY", UUID.randomUUID().toString());
        Json job = SERVICE.submit(users, key, Map.of("limit", LIMIT, "explain", false));
        System.err.println("job " + job.text("job_id") + ", submitted as " + key);
        printResults(SERVICE.follow(job.text("job_id"), Recommendations::showProgress, Thread::sleep));
    }
    // end

    /** How far a job is. */
    static void showProgress(Json job) {
        System.err.println(
            job.text("state") + ": " + job.number("done") + " of " + job.number("total") + " users");
    }

    /** The best title of every user, and why the others have none. */
    static void printResults(Json job) throws Failed, InterruptedException {
        if (job.has("problem")) System.err.println(job.text("state") + ": " + job.get("problem").text("detail"));
        SERVICE.results(job, page -> {
            List<Json> titles = page.list("recommendations");
            System.out.println(page.text("user_id") + (titles.isEmpty() ? "" : "  " + scored(titles.get(0))));
        });
        if (job.number("failed") == 0) return;
        SERVICE.failures(job.text("job_id"), failure ->
            System.err.println(failure.text("user_id") + ": " + failure.text("detail")));
        throw new Failed(job.number("failed") + " of " + job.number("total") + " users failed");
    }

    // region: publish
    /** Any number of users, up to 100,000. */
    static void publish(List<String> users) throws Failed, InterruptedException {
        String jobId = setting("JOB_ID", UUID.randomUUID().toString());
        String replyTo = "recommendations.reply." + jobId.toLowerCase(Locale.ROOT);
        Map<String, Object> arguments = Map.of("job_id", jobId, "user_ids", users, "limit", LIMIT, "reply_to", replyTo);
        redis(0, "LPUSH", "recommendations", celeryMessage("recommendations.batch.v1", arguments));
        System.err.println("job " + jobId + ", published");
        printResults(followPublished(jobId, replyTo));
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
    static void listen(String queue, long milliseconds) throws Failed {
        Object found = redis(milliseconds, "BRPOP", queue, String.valueOf(milliseconds / 1000.0));
        if (found instanceof List<?> pair) {
            System.err.println("announced: " + Json.read((String) pair.get(1)).text("type"));
        }
    }

    /** A job that was put on the queue, once it has ended; it is unknown until a worker has taken the message. */
    static Json followPublished(String jobId, String queue) throws Failed, InterruptedException {
        long started = System.nanoTime();
        for (long first = 5000; ; first = 2000) {
            listen(queue, first);
            try {
                Service.Pause pause = milliseconds -> listen(queue, milliseconds);
                return SERVICE.follow(jobId, Recommendations::showProgress, pause);
            } catch (Problem problem) {
                if (!problem.type.equals("/problems/job-not-found")) throw problem;
            }
            if (secondsSince(started) > APPEARS_SECONDS) {
                String again = "publish again with JOB_ID=" + jobId + ", which is safe";
                throw new Failed("not taken within " + APPEARS_SECONDS + " s; " + again);
            }
        }
    }
    // end

    /** It ends with this sentence. */
    static class Failed extends Exception {
        Failed(String message) {
            super(message);
        }
    }

    /** The service said no (RFC 9457), or gave no answer: then the status is 0. Decide by `type`. */
    static class Problem extends Failed {
        final int status;
        final String type;
        final List<Json> fields; // of invalid-request: what is wrong with which
        final String requestId; // what the service's log calls the request; null when it did not say

        Problem(String detail) {
            super(detail);
            status = 0;
            type = "about:blank";
            fields = List.of();
            requestId = null;
        }

        Problem(int status, String type, String detail, List<Json> fields, String requestId) {
            super(status + " " + type + ": " + detail);
            this.status = status;
            this.type = type;
            this.fields = fields;
            this.requestId = requestId;
        }
    }

    /**
     * The service at one address. Every request is one that may be sent twice, and is, while nobody answers or the
     * service is busy.
     */
    static class Service {
        static final Set<Integer> BUSY = Set.of(429, 503); // the request was not done, and may be sent again
        static final long FIRST_PAUSE = 500; // ms; doubled each time
        static final long LONGEST_PAUSE = 60_000; // ms; who is told to wait for longer should do something else
        static final long POLL = 2000; // ms; where the service does not say how often to ask
        static final long JOB_SECONDS = 600; // longest wait for a job to end
        static final String BATCH = "/api/recommendations/batch";

        final String baseUrl;
        private final String token;
        final Duration timeout;
        final int retries;
        final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(5)).build();

        /**
         * @param token a token or an API key, where the service asks who you are; null: none
         * @param timeout longest wait for an answer
         * @param retries how often a request is sent again
         */
        Service(String baseUrl, String token, Duration timeout, int retries) {
            this.baseUrl = baseUrl.replaceAll("/+$", "");
            this.token = token;
            this.timeout = timeout;
            this.retries = retries;
        }

        // Lists. A POST asks for the same as a GET, and never gets too long for an address. Options by their names.

        /** A page of a user's titles. */
        Json recommend(String user, Map<String, ?> options) throws Problem, InterruptedException {
            return post("/api/recommendations/" + segment(user), options);
        }

        /** A page of what somebody would get who prefers these genres, and likes and dislikes these titles. */
        Json preview(Map<String, ?> options) throws Problem, InterruptedException {
            return post("/api/recommendations/preview", options);
        }

        /** A page of the titles like this one. */
        Json similar(String title, Map<String, ?> options) throws Problem, InterruptedException {
            return post("/api/titles/" + segment(title) + "/similar", options);
        }

        /** A page of what is popular: always, or lately. */
        Json popular(Map<String, ?> options) throws Problem, InterruptedException {
            return post("/api/titles/popular", options);
        }

        /** The first page of each of a few users. */
        Map<String, Json> batch(List<String> users, Map<String, ?> options) throws Problem, InterruptedException {
            String key = UUID.randomUUID().toString(); // should it become a job, it becomes one
            Json answer = post(BATCH, with(options, "user_ids", users), "Idempotency-Key", key);
            if (answer.has("results")) return answer.map("results");
            cancel(answer.text("job_id"));
            throw new Problem(202, "about:blank", "too many users to answer at once; submit a job", List.of(), null);
        }

        // region: eachTitle
        /**
         * A whole list page by page, no title twice, whatever changes meanwhile. A page that is `degraded` may be the
         * last one too early: the service could not keep the list.
         *
         * @param pageAt asks for the page at a cursor: cursor -> service.popular(Map.of("cursor", cursor))
         */
        static void eachTitle(PageAt pageAt, Consumer<Json> title) throws Problem, InterruptedException {
            for (String cursor = "*"; cursor != null; ) {
                Json page = pageAt.ask(cursor);
                page.list("recommendations").forEach(title);
                cursor = page.text("next_cursor");
            }
        }

        interface PageAt {
            Json ask(String cursor) throws Problem, InterruptedException;
        }
        // end

        // region: jobs
        // Jobs.

        /** Many users as a job. key: the submission's name; the same key and request find the same job. */
        Json submit(List<String> users, String key, Map<String, ?> options) throws Problem, InterruptedException {
            return post(
                BATCH, with(options, "user_ids", users), "Prefer", "respond-async", "Idempotency-Key", key);
        }

        /** A job as it stands. */
        Json job(String id) throws Problem, InterruptedException {
            return call("GET", "/api/jobs/" + segment(id), null).json();
        }

        /** End a job; one that has ended stays as it is. */
        Json cancel(String id) throws Problem, InterruptedException {
            return post("/api/jobs/" + segment(id) + "/cancel", null);
        }

        /**
         * Ask for a job until it has ended, as often as the service wants to be asked.
         *
         * @param progress is told of each change
         * @param pause waits for so many milliseconds, or less when there is news
         */
        Json follow(String id, Consumer<Json> progress, Pause pause) throws Failed, InterruptedException {
            long started = System.nanoTime();
            for (Json told = null; ; ) {
                Answer answer = call("GET", "/api/jobs/" + segment(id), null);
                Json job = answer.json();
                if (!job.equals(told)) progress.accept(job);
                if (!List.of("accepted", "running").contains(job.text("state"))) return job;
                if (secondsSince(started) > JOB_SECONDS) {
                    throw new Problem(
                        "job " + id + " has not ended within " + JOB_SECONDS + " s; it goes on, ask again later");
                }
                told = job;
                pause.take(answer.retryAfter().orElse(POLL));
            }
        }

        interface Pause {
            void take(long milliseconds) throws Failed, InterruptedException;
        }

        /** Every user's page of a job that has ended, one by one as they arrive. */
        void results(Json job, Consumer<Json> page) throws Problem, InterruptedException {
            String path = "/api/jobs/" + job.text("job_id") + "/results";
            long read = 0;
            try (Stream<String> lines = send("GET", path, null, HttpResponse::body, "Accept", "application/x-ndjson")) {
                for (Iterator<String> each = lines.iterator(); each.hasNext(); read++) {
                    page.accept(Json.read(each.next()));
                }
            } catch (IllegalArgumentException | UncheckedIOException error) {
                throw new Problem("the results broke off after " + read + " users: " + error.getMessage());
            }
            if (read < job.number("done")) {
                throw new Problem("the results broke off after " + read + " of " + job.number("done") + " users");
            }
        }

        /** The users whom a job could not do, and why. */
        void failures(String id, Consumer<Json> failure) throws Problem, InterruptedException {
            String path = "/api/jobs/" + segment(id) + "/failures?limit=1000";
            for (String cursor = ""; cursor != null; ) {
                Json part = call("GET", cursor.isEmpty() ? path : path + "&cursor=" + cursor, null).json();
                part.list("failures").forEach(failure);
                cursor = part.text("next_cursor");
            }
        }
        // end

        private Json post(String path, Object body, String... headers) throws Problem, InterruptedException {
            return call("POST", path, body, headers).json();
        }

        /** A whole answer. */
        record Answer(HttpResponse<?> response, Json json) {
            Optional<Long> retryAfter() {
                return Service.retryAfter(response);
            }
        }

        private Answer call(String method, String path, Object body, String... headers)
                throws Problem, InterruptedException {
            return send(method, path, body, response -> new Answer(response, whole(response)), headers);
        }

        // region: send
        /**
         * Sends a request; again, after longer and longer pauses, while nobody answers or the service is busy. So it is
         * for requests that may be done twice: those that only ask, and those with an Idempotency-Key.
         */
        private <T> T send(String method, String path, Object body, Reader<T> reader, String... headers)
                throws Problem, InterruptedException {
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(baseUrl + path))
                .method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(Json.write(body)))
                .timeout(timeout)
                .header("Content-Type", "application/json");
            if (headers.length > 0) request.headers(headers);
            if (token != null) { // HttpClient sends nothing on to another server; what it says of a bad header shows it
                if (!token.matches("[\\x21-\\x7e]+")) {
                    throw new Problem("the token has characters that no token has");
                }
                request.header("Authorization", "Bearer " + token);
            }
            for (int tries = 0; ; tries++) {
                Problem problem;
                long told = 0;
                try {
                    HttpResponse<Stream<String>> response = http.send(request.build(), BodyHandlers.ofLines());
                    if (response.statusCode() < 300) return reader.read(response);
                    problem = problem(response);
                    told = retryAfter(response).orElse(0L);
                    if (!BUSY.contains(problem.status)) throw problem;
                } catch (IOException | UncheckedIOException error) { // refused, cut off or too slow
                    problem = new Problem("no answer from " + baseUrl + ": " + reason(error));
                }
                long pause = told + (long) (Math.random() * (FIRST_PAUSE << tries)); // lest all come back at once
                if (tries == retries || pause > LONGEST_PAUSE) throw problem;
                Thread.sleep(pause);
            }
        }

        interface Reader<T> {
            T read(HttpResponse<Stream<String>> response) throws Problem;
        }

        private static Json whole(HttpResponse<Stream<String>> response) throws Problem {
            try (Stream<String> lines = response.body()) {
                return Json.read(lines.collect(Collectors.joining("\n")));
            } catch (IllegalArgumentException error) {
                throw new Problem(response.uri() + " answered something else than JSON: " + error.getMessage());
            }
        }

        /** Milliseconds to wait before asking again, where the service says so. */
        private static Optional<Long> retryAfter(HttpResponse<?> response) {
            Optional<String> seconds = response.headers().firstValue("Retry-After");
            return seconds.filter(text -> text.matches("\\d{1,6}")).map(text -> 1000 * Long.parseLong(text));
        }
        // end

        private static Problem problem(HttpResponse<Stream<String>> response) {
            int status = response.statusCode();
            String requestId = response.headers().firstValue("X-Request-Id").orElse(null);
            try (Stream<String> lines = response.body()) {
                Json told = Json.read(lines.collect(Collectors.joining("\n")));
                List<Json> fields = told.has("errors") ? told.list("errors") : List.of();
                return new Problem(status, told.text("type"), told.text("detail"), fields, requestId);
            } catch (IllegalArgumentException error) { // not the service's own words: a proxy's page, say
                return new Problem(status, "about:blank", "no problem document", List.of(), requestId);
            }
        }

        private static String segment(String name) {
            return URLEncoder.encode(name, UTF_8).replace("+", "%20");
        }

        private static Map<String, Object> with(Map<String, ?> options, String name, Object value) {
            Map<String, Object> all = new LinkedHashMap<>(options);
            all.put(name, value);
            return all;
        }
    }

    // region: redis
    /**
     * Log in to the Redis of BROKER_URL, choose its database, run one command, and give its reply: a String, a Long, a
     * List of these, or null.
     *
     * @param milliseconds how long the command itself may wait
     */
    static Object redis(long milliseconds, String... command) throws Failed {
        URI uri = URI.create(BROKER);
        if (!"redis".equals(uri.getScheme())) throw new Failed("BROKER_URL must start with redis://");
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
            throw new Failed("the broker did not take " + command[0] + ": " + reason(error));
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

    /** A title with its score. */
    static String scored(Json title) {
        return fixed(title, "score") + "  " + name(title);
    }

    /** The catalogue may have no name for a title. */
    static String name(Json title) {
        return title.has("title") ? title.text("title") : "(no title)";
    }

    static String fixed(Json of, String key) {
        return String.format(Locale.ROOT, "%.4f", (Double) of.get(key).value());
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
