import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Calendar;
import java.util.TimeZone;
import org.apache.commons.net.ftp.FTPClient;
import org.apache.commons.net.ftp.FTPClientConfig;
import org.apache.commons.net.ftp.FTPFile;
import org.apache.commons.net.ftp.parser.FTPTimestampParserImpl;

/**
 * The times that Apache Commons Net reads from listings, as milliseconds since the epoch; `default` as server time zone leaves the
 * library's own. java -cp commons-net.jar:CLASSES CommonsNetTimes, and either
 * `list HOST PORT USER PASSWORD SERVER_TIME_ZONE LIST|MLSD`, which prints name and time of each file,
 * or `parse SERVER_TIME_ZONE` with lines of `NOW<tab>TIME AS IN LIST` on standard input, NOW in milliseconds.
 */
public final class CommonsNetTimes {
  public static void main(String[] args) throws Exception {
    if (args[0].equals("parse")) parse(args[1]);
    else list(args);
  }

  private static FTPClientConfig configuration(String serverTimeZone) {
    FTPClientConfig configuration = new FTPClientConfig(FTPClientConfig.SYST_UNIX);
    if (!serverTimeZone.equals("default")) configuration.setServerTimeZoneId(serverTimeZone);
    return configuration;
  }

  private static void list(String[] args) throws Exception {
    FTPClient ftp = new FTPClient();
    ftp.configure(configuration(args[5]));
    ftp.connect(args[1], Integer.parseInt(args[2]));
    if (!ftp.login(args[3], args[4])) throw new IllegalStateException(ftp.getReplyString());
    ftp.enterLocalPassiveMode();
    FTPFile[] files = args[6].equals("MLSD") ? ftp.mlistDir("/") : ftp.listFiles("/");
    for (FTPFile file : files) System.out.println(file.getName() + "\t" + file.getTimestamp().getTimeInMillis());
    ftp.logout();
    ftp.disconnect();
  }

  private static void parse(String serverTimeZone) throws Exception {
    FTPTimestampParserImpl parser = new FTPTimestampParserImpl();
    FTPClientConfig configuration = configuration(serverTimeZone);
    // What UnixFTPEntryParser itself takes for the two forms of `ls -l`.
    configuration.setDefaultDateFormatStr("MMM d yyyy");
    configuration.setRecentDateFormatStr("MMM d HH:mm");
    parser.configure(configuration);
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      String[] fields = line.split("\t");
      Calendar now = Calendar.getInstance(TimeZone.getDefault());
      now.setTimeInMillis(Long.parseLong(fields[0]));
      System.out.println(parser.parseTimestamp(fields[1], now).getTimeInMillis());
    }
  }
}
