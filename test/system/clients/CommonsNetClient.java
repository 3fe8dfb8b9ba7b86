import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.Channels;
import java.security.cert.X509Certificate;
import javax.net.ssl.X509TrustManager;
import org.apache.commons.net.ftp.FTP;
import org.apache.commons.net.ftp.FTPClient;
import org.apache.commons.net.ftp.FTPFile;
import org.apache.commons.net.ftp.FTPSClient;

/**
 * One deed with Apache Commons Net: java -cp commons-net.jar:CLASSES CommonsNetClient SECURITY HOST PORT USER PASSWORD
 * CA_FILE DEED ARGUMENTS... Its strict check, that the address in 227 is the control connection's, is left on.
 */
public final class CommonsNetClient {
  public static void main(String[] args) throws Exception {
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
    ftp.enterLocalPassiveMode();
    ftp.setFileType(FTP.BINARY_FILE_TYPE);
    perform(ftp, args);
    ftp.logout();
    ftp.disconnect();
  }

  private static FTPClient client(String security) {
    if (security.equals("plain")) return new FTPClient();
    FTPSClient secure = new FTPSClient(security.equals("implicit"));
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
