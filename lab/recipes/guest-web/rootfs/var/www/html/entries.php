<?php
// POST with number=N stores a row and tells how many there are; GET lists the newest rows. Answers are JSON.
declare(strict_types=1);

const LISTED = 100;

function answer(int $status, array $content): never
{
    http_response_code($status);
    header('Content-Type: application/json');
    header('Cache-Control: no-store');
    echo json_encode($content, JSON_THROW_ON_ERROR), "\n";
    exit;
}

$method = $_SERVER['REQUEST_METHOD'];
if (!in_array($method, ['GET', 'HEAD', 'POST'], true)) {
    header('Allow: GET, HEAD, POST');
    answer(405, ['error' => 'GET or POST']);
}
$number = filter_input(INPUT_POST, 'number', FILTER_VALIDATE_INT);
if ($method === 'POST' && !is_int($number)) {
    answer(400, ['error' => 'number must be a whole number']);
}

mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
try {
    $settings = parse_ini_file('/etc/lab/database.ini', false, INI_SCANNER_RAW);
    $database = new mysqli('localhost', $settings['user'], $settings['password'], $settings['database']);
    if ($method === 'POST') {
        $insert = $database->prepare('INSERT INTO entries (number) VALUES (?)');
        $insert->bind_param('i', $number);
        $insert->execute();
    }
    $rows = (int) $database->query('SELECT COUNT(*) FROM entries')->fetch_row()[0];
    if ($method === 'POST') {
        answer(200, ['stored' => $number, 'rows' => $rows]);
    }
    $query = 'SELECT id, number, stored_at FROM entries ORDER BY id DESC LIMIT ' . LISTED;
    $entries = [];
    foreach ($database->query($query) as $row) {
        $entries[] = ['id' => (int) $row['id'], 'number' => (int) $row['number'], 'stored_at' => $row['stored_at']];
    }
    answer(200, ['rows' => $rows, 'entries' => $entries]);
} catch (mysqli_sql_exception $error) {
    error_log('entries: ' . $error->getMessage());
    answer(503, ['error' => 'the database does not answer']);
}
