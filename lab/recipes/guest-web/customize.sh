#!/bin/sh
# Run by the bakery with the image's root directory as $1.
set -eu
root=$1

# The data directory, made with the lab's settings. Accounts come at boot, from init_file. Names are not looked up
# (--force), and what the tool makes for the name of the machine that bakes is taken out again.
rm -rf "$root"/var/lib/mysql
install -d "$root/run/mysqld"
chroot "$root" install -d -o mysql -g mysql /var/lib/mysql /var/log/mysql
chroot "$root" mariadb-install-db --user=mysql --skip-test-db --force
chroot "$root" mariadbd --user=mysql --bootstrap --init-file= --log-error= <<'END'
CREATE DATABASE lab CHARACTER SET utf8mb4;
DELETE FROM mysql.global_priv WHERE Host <> 'localhost';
DELETE FROM mysql.proxies_priv WHERE Host <> 'localhost';
CREATE TABLE lab.entries (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, number BIGINT NOT NULL, stored_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)) ENGINE=InnoDB;
END

chroot "$root" a2dissite -q 000-default
chroot "$root" a2ensite -q lab
chroot "$root" a2dismod -q -f autoindex status deflate
