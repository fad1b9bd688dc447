// Tells whether a callback is the service's own: it prints the announcement, or ends with status 1.

import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Base64;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import static java.nio.charset.StandardCharsets.UTF_8;

public class Verify {
    static final String USAGE = """
        usage: java Verify.java WEBHOOK_ID WEBHOOK_TIMESTAMP WEBHOOK_SIGNATURE < BODY

        CALLBACK_SECRET  the secret that the service signs with: whsec_...""";

    // region: verify
    /**
     * Whether this request, at most five minutes old, was signed with the secret.
     *
     * @param body the bytes as they came
     */
    static boolean verify(String secret, Map<String, String> headers, byte[] body) throws GeneralSecurityException {
        String timestamp = headers.getOrDefault("webhook-timestamp", "");
        if (!timestamp.matches("\\d{1,12}")) return false;
        if (Math.abs(Instant.now().getEpochSecond() - Long.parseLong(timestamp)) > 300) return false;
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(Base64.getDecoder().decode(secret.replaceFirst("^whsec_", "")), "HmacSHA256"));
        mac.update((headers.get("webhook-id") + "." + timestamp + ".").getBytes(UTF_8));
        byte[] expected = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes(UTF_8);
        String signatures = headers.getOrDefault("webhook-signature", ""); // several while the secret is being changed
        for (String signature : signatures.split(" ")) {
            if (MessageDigest.isEqual(signature.getBytes(UTF_8), expected)) return true;
        }
        return false;
    }
    // end

    public static void main(String[] arguments) throws GeneralSecurityException, IOException {
        if (arguments.length != 3) {
            System.err.println(USAGE);
            System.exit(2);
        }
        Map<String, String> headers = Map.of(
            "webhook-id", arguments[0], "webhook-timestamp", arguments[1], "webhook-signature", arguments[2]);
        byte[] body = System.in.readAllBytes();
        if (!verify(System.getenv("CALLBACK_SECRET"), headers, body)) {
            System.err.println("error: not signed by the service, or too old");
            System.exit(1);
        }
        System.out.write(body);
        System.out.println();
    }
}
