import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.channels.Channels;
import java.security.cert.X509Certificate;
import java.util.Locale;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSessionContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.X509TrustManager;
import org.apache.commons.net.ftp.FTP;
import org.apache.commons.net.ftp.FTPClient;
import org.apache.commons.net.ftp.FTPFile;
import org.apache.commons.net.ftp.FTPSClient;

/**
 * One deed with Apache Commons Net: java -cp commons-net.jar:CLASSES CommonsNetClient SECURITY HOST PORT USER PASSWORD
 * CA_FILE DEED ARGUMENTS... Its strict check, that the address in 227 is the control connection's, is left on.
 * COMMONS_NET_TIMES repeats it, each time in a session of its own: starting a JVM takes longer than all of that.
 * COMMONS_NET_TRANSFERS repeats it within one session.
 */
public final class CommonsNetClient {
  public static void main(String[] args) throws Exception {
    String times = System.getenv("COMMONS_NET_TIMES");
    for (int left = times == null ? 1 : Integer.parseInt(times); left > 0; left--) runSession(args);
  }

  private static void runSession(String[] args) throws Exception {
    FTPClient ftp = client(args[0]);
    ftp.setConnectTimeout(60_000);
    ftp.setControlEncoding("UTF-8");
    ftp.setIpAddressFromPasvResponse(true);
    ftp.connect(args[1], Integer.parseInt(args[2]));
    must(ftp.login(args[3], args[4]), "login", ftp);
    if (ftp instanceof FTPSClient secure) {
      secure.execPBSZ(0);
      secure.execPROT("P");
    }
    // Without it the client sends EPSV over IPv6 only.
    ftp.setUseEPSVwithIPv4("EPSV".equals(System.getenv("FTP_PASSIVE")));
    ftp.enterLocalPassiveMode();
    ftp.setFileType(FTP.BINARY_FILE_TYPE);
    String transfers = System.getenv("COMMONS_NET_TRANSFERS");
    for (int left = transfers == null ? 1 : Integer.parseInt(transfers); left > 0; left--) perform(ftp, args);
    ftp.logout();
    ftp.disconnect();
  }

  private static FTPClient client(String security) {
    if (security.equals("plain")) return new FTPClient();
    boolean isImplicit = security.equals("implicit");
    boolean isReusing = "1".equals(System.getenv("COMMONS_NET_REUSE"));
    FTPSClient secure = isReusing ? new ReusingClient(isImplicit) : new FTPSClient(isImplicit);
    secure.setTrustManager(new AnyCertificate());
    return secure;
  }

  private static void perform(FTPClient ftp, String[] args) throws IOException {
    String deed = args[6];
    String first = args[7];
    switch (deed) {
      case "put" -> {
        try (FileInputStream file = new FileInputStream(first)) {
          must(ftp.storeFile(args[8], file), deed, ftp);
        }
      }
      case "get" -> {
        try (FileOutputStream file = new FileOutputStream(args[8])) {
          must(ftp.retrieveFile(first, file), deed, ftp);
        }
      }
      case "list" -> {
        for (FTPFile file : ftp.listFiles(first)) System.out.println(file.getName());
      }
      case "resume-get" -> {
        try (FileOutputStream file = new FileOutputStream(args[8], true)) {
          ftp.setRestartOffset(file.getChannel().size());
          must(ftp.retrieveFile(first, file), deed, ftp);
        }
      }
      case "resume-put" -> {
        long offset = Long.parseLong(ftp.getSize(args[8]));
        try (RandomAccessFile file = new RandomAccessFile(first, "r")) {
          file.seek(offset);
          ftp.setRestartOffset(offset);
          must(ftp.storeFile(args[8], Channels.newInputStream(file.getChannel())), deed, ftp);
        }
      }
      case "rename" -> must(ftp.rename(first, args[8]), deed, ftp);
      case "delete" -> must(ftp.deleteFile(first), deed, ftp);
      default -> throw new IllegalArgumentException(deed);
    }
  }

  private static void must(boolean done, String what, FTPClient ftp) {
    if (!done) throw new IllegalStateException(what + ": " + ftp.getReplyString());
  }

  /**
   * Resumes the control connection's session on data connections. The JDK looks for sessions by host and port, so this one
   * is entered for the data port too, into a cache that is not open to programs.
   */
  private static final class ReusingClient extends FTPSClient {
    ReusingClient(boolean isImplicit) {
      super(isImplicit);
    }

    @Override
    protected void _prepareDataSocket_(Socket socket) throws IOException {
      SSLSession session = ((SSLSocket) _socket_).getSession();
      SSLSessionContext context = session.getSessionContext();
      try {
        Field field = context.getClass().getDeclaredField("sessionHostPortCache");
        field.setAccessible(true);
        Object cache = field.get(context);
        Method put = cache.getClass().getDeclaredMethod("put", Object.class, Object.class);
        put.setAccessible(true);
        InetAddress address = socket.getInetAddress();
        for (String host : new String[] {address.getHostName(), address.getHostAddress()}) {
          put.invoke(cache, (host + ":" + socket.getPort()).toLowerCase(Locale.ROOT), session);
        }
      } catch (ReflectiveOperationException error) {
        throw new IOException(error);
      }
    }
  }

  private static final class AnyCertificate implements X509TrustManager {
    @Override
    public void checkClientTrusted(X509Certificate[] chain, String authType) {}

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String authType) {}

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }
}
