import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;

/** Every key of Java's producer: a line for each, with name, default, validator and importance; "null" for none. */
public final class ConfigKeys {
    private ConfigKeys() {}

    public static void main(String[] args) {
        Map<String, ConfigDef.ConfigKey> keys = new TreeMap<>(ProducerConfig.configDef().configKeys());
        for (ConfigDef.ConfigKey key : keys.values()) {
            String without = key.hasDefault() ? ConfigDef.convertToString(key.defaultValue, key.type) : "required";
            System.out.println(key.name + "\t" + without + "\t" + key.validator + "\t" + key.importance);
        }
    }
}
